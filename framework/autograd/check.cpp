#include "framework/autograd/check.h"

#include <algorithm>
#include <cmath>

#include "framework/core/rng.h"

namespace og {

namespace {

struct WeightedSum final : Function {
  uint64_t key = 0;
  const char* name() const override { return "weighted_sum"; }
  void backward(Context& cx) override {
    auto [dx, put] = input(0)->open(cx);
    const double dy = gradient(cx).at(0);
    visit_real(dx.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      auto out = dx.template flat<T>();
      for (int64_t i = 0; i < out.size(); ++i)
        store(out(i), put, static_cast<T>(dy * random_normal(key, static_cast<uint64_t>(i))));
    });
  }
};

}  // namespace

Value weighted_sum(Tape& tape, const Value& x, uint64_t key) {
  Value y = tape.output({1}, x.dtype(), x.place(), {x});
  double sum = 0;
  for (int64_t i = 0; i < x.shape().count(); ++i)
    sum += x.tensor().at(i) * random_normal(key, static_cast<uint64_t>(i));
  y.tensor().fill(sum);
  auto function = std::make_unique<WeightedSum>();
  function->key = key;
  tape.record(std::move(function), {x}, {y});
  return y;
}

GradientCheck check_gradient(Context& cx, const std::function<Value(Tape&, std::span<const Value>)>& f,
                             std::span<const Value> leaves, double step) {
  Tape tape(cx);
  tape.backward(f(tape, leaves));
  std::vector<Tensor> gradients;
  for (const Value& leaf : leaves)
    gradients.push_back(leaf.wants_gradient() ? leaf.slot()->gradient_or_zero(cx).clone(*cx.pool) : Tensor());
  for (const Value& leaf : leaves)
    if (leaf.wants_gradient()) leaf.slot()->clear();

  const auto value = [&] {
    Tape quiet(cx, Tape::Mode::no_gradient);
    return f(quiet, leaves).tensor().at(0);
  };
  GradientCheck result;
  for (size_t n = 0; n < leaves.size(); ++n) {
    if (!leaves[n].wants_gradient()) continue;
    OG_CHECK(leaves[n].dtype() == DType::f64, "gradients are checked in f64");
    auto* x = leaves[n].tensor().data<double>();
    for (int64_t i = 0; i < leaves[n].shape().count(); ++i) {
      const double kept = x[i];
      x[i] = kept + step;
      const double above = value();
      x[i] = kept - step;
      const double below = value();
      x[i] = kept;
      const double difference = (above - below) / (2 * step);
      const double taped = gradients[n].at(i);
      const double error = std::abs(taped - difference) / std::max(1.0, std::abs(difference));
      if (!(error <= result.largest_error)) {
        result.largest_error = std::isnan(error) ? HUGE_VAL : error;
        result.where = fmt::format("input {}, element {}: tape {}, difference {}", n, i, taped, difference);
      }
    }
  }
  return result;
}

}  // namespace og

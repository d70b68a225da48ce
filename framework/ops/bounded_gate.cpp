#include "framework/ops/bounded_gate.h"

#include <cmath>
#include <vector>

namespace og {

namespace {

struct LowerBound final : Function {
  Tensor share_LC;  // softmax over layers
  int layer = 0;

  const char* name() const override { return "lower_bound"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(dy.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      const auto p = share_LC.rows<const T>();
      const auto g = dy.flat<const T>();
      const auto out = dx.template rows<T>();
      for (int64_t c = 0; c < p.shape[1]; ++c) {
        // lb = sum_{1 <= i <= layer} p_i: d lb / d x_j = p_j ([1 <= j <= layer] - lb).
        T lb = 0;
        for (int64_t i = 1; i <= layer; ++i) lb += p(i, c);
        for (int64_t j = 0; j < p.shape[0]; ++j) {
          const T value = g(c) * p(j, c) * ((j >= 1 && j <= layer ? T{1} : T{0}) - lb);
          out(j, c) = put == Put::add ? out(j, c) + value : value;
        }
      }
    });
  }
};

struct BoundedLogGate final : Function {
  Tensor x, lb, g;

  const char* name() const override { return "bounded_log_gate"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    visit_real(dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const auto xs = x.rows<const T>(), gs = g.rows<const T>(), ds = dy.rows<const T>();
      const auto bounds = lb.flat<const T>();
      const int64_t rows = xs.shape[0], width = xs.shape[1];
      // a = lb + (1 - lb) s: dg/dx = (1 - lb) s (1 - s) / a, dg/dlb = (1 - s) / a.
      if (Slot* slot = input(0)) {
        auto [dx, put] = slot->open(cx);
        const auto out = dx.template rows<T>();
        cx.stream.parallel_for(rows, 64, [&, put = put](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r)
            for (int64_t c = 0; c < width; ++c) {
              const T s = T{1} / (T{1} + std::exp(-xs(r, c)));
              const T value = ds(r, c) * (1 - bounds(c)) * s * (1 - s) / std::exp(gs(r, c));
              out(r, c) = put == Put::add ? out(r, c) + value : value;
            }
        });
      }
      if (Slot* slot = input(1)) {
        auto [dlb, put] = slot->open(cx);
        const auto out = dlb.template flat<T>();
        std::vector<double> sums(static_cast<size_t>(width), 0.0);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < width; ++c) {
            const T s = T{1} / (T{1} + std::exp(-xs(r, c)));
            sums[static_cast<size_t>(c)] += static_cast<double>(ds(r, c) * (1 - s) / std::exp(gs(r, c)));
          }
        for (int64_t c = 0; c < width; ++c) {
          const T value = static_cast<T>(sums[static_cast<size_t>(c)]);
          out(c) = put == Put::add ? out(c) + value : value;
        }
      }
    });
  }
};

template <class T>
T log_sigmoid(T x) {
  return x >= 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x));
}

}  // namespace

Value lower_bound(Tape& tape, const Value& free_LC, int layer) {
  OG_CHECK(free_LC.rank() == 2 && layer >= 0 && layer < free_LC.size(0), "lower_bound: layer {} of {}", layer,
           free_LC.shape().str());
  Context& cx = tape.context();
  const int64_t layers = free_LC.size(0), width = free_LC.size(1);
  Value y = tape.output({width}, free_LC.dtype(), free_LC.place(), {free_LC});
  const Tensor share = cx.empty(free_LC.shape(), free_LC.dtype());
  visit_real(free_LC.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto x = free_LC.tensor().rows<const T>();
    const auto p = share.rows<T>();
    const auto out = y.tensor().template flat<T>();
    for (int64_t c = 0; c < width; ++c) {
      T most = x(0, c), sum = 0;
      for (int64_t i = 1; i < layers; ++i) most = std::max(most, x(i, c));
      for (int64_t i = 0; i < layers; ++i) sum += p(i, c) = std::exp(x(i, c) - most);
      out(c) = 0;
      for (int64_t i = 0; i < layers; ++i) p(i, c) /= sum;
      for (int64_t i = 1; i <= layer; ++i) out(c) += p(i, c);
    }
  });
  auto function = std::make_unique<LowerBound>();
  function->share_LC = share;
  function->layer = layer;
  tape.record(std::move(function), {free_LC}, {y});
  return y;
}

Value bounded_log_gate(Tape& tape, const Value& x, const Value& lb_C) {
  OG_CHECK(lb_C.rank() == 1 && x.size(-1) == lb_C.size(0), "bounded_log_gate: bound {} for {}", lb_C.shape().str(),
           x.shape().str());
  Value y =
      tape.output(x.shape(), x.dtype(), place_elementwise("bounded_log_gate", {x.place(), lb_C.place()}), {x, lb_C});
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto xs = x.tensor().rows<const T>();
    const auto out = y.tensor().template rows<T>();
    const auto bounds = lb_C.tensor().flat<const T>();
    tape.stream().parallel_for(xs.shape[0], 64, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t c = 0; c < xs.shape[1]; ++c) {
          const T upper = std::log1p(-bounds(c)) + log_sigmoid(xs(r, c));
          if (bounds(c) <= 0) {
            out(r, c) = upper;
            continue;
          }
          const T lower = std::log(bounds(c));
          const T most = std::max(lower, upper);
          out(r, c) = std::min(T{0}, most + std::log1p(std::exp(std::min(lower, upper) - most)));
        }
    });
  });
  auto function = std::make_unique<BoundedLogGate>();
  function->x = x.tensor();
  function->lb = lb_C.tensor();
  function->g = y.tensor();
  tape.record(std::move(function), {x, lb_C}, {y});
  return y;
}

}  // namespace og

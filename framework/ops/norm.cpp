#include "framework/ops/norm.h"

#include <algorithm>

#include <cmath>

#include "framework/kernels/norm.h"
#include "framework/ops/pointwise.h"

namespace og {

namespace {

struct RmsNorm final : Function {
  Tensor x, weight, rstd;

  const char* name() const override { return "rms_norm"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    visit_real(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      Slot::Target dx{{}, Put::write}, dw{{}, Put::write};
      if (input(0)) dx = input(0)->open(cx);
      if (input(1)) dw = input(1)->open(cx);
      norm_kernels<T>(cx.stream).rms_backward(cx.stream, dx.tensor.template rows<T>(), dx.put,
                                              dw.tensor.template rows<T>(), dw.put, dy.rows<const T>(),
                                              x.rows<const T>(), weight.template rows<const T>(), rstd.flat<const T>());
    });
  }
};

Shape without_last(const Shape& shape) {
  Shape s;
  for (int i = 0; i + 1 < shape.rank(); ++i) s.push_back(shape[i]);
  return s;
}

struct MeanSquare final : Function {
  Tensor x;
  double global_width = 1;

  const char* name() const override { return "mean_square"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(x.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      const Tensor factor = cx.empty(dy.shape(), dy.dtype());
      const auto& k = pointwise_kernels<T>(cx.stream);
      k.scale(cx.stream, factor.flat<T>(), Put::write, dy.flat<const T>(), static_cast<T>(2 / global_width));
      k.multiply_rows(cx.stream, dx.template rows<T>(), put, x.rows<const T>(), factor.flat<const T>());
    });
  }
};

// y = (x + eps)^(-1/2).
struct InverseRoot final : Function {
  Tensor y;

  const char* name() const override { return "inverse_root"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(y.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      norm_kernels<T>(cx.stream).inverse_root_backward(cx.stream, dx.template flat<T>(), put, dy.flat<const T>(),
                                                       y.flat<const T>());
    });
  }
};

Value inverse_root(Tape& tape, const Value& x, double eps) {
  Value y = tape.output(x.shape(), x.dtype(), place_elementwise("inverse_root", {x.place()}), {x});
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    norm_kernels<T>(tape.stream())
        .inverse_root_forward(tape.stream(), y.tensor().template flat<T>(), x.tensor().flat<const T>(),
                              static_cast<T>(eps));
  });
  auto function = std::make_unique<InverseRoot>();
  function->y = y.tensor();
  tape.record(std::move(function), {x}, {y});
  return y;
}

}  // namespace

Value rms_norm(Tape& tape, const Value& x, const Value& weight, double eps) {
  OG_CHECK(x.rank() >= 1 && weight.rank() >= 1 && weight.rank() <= 2 && x.size(-1) == weight.size(-1) &&
               (weight.rank() == 1 || x.size(-2) == weight.size(0)),
           "rms_norm: weight {} for x {}", weight.shape().str(), x.shape().str());
  Context& cx = tape.context();
  Value y = tape.output(x.shape(), x.dtype(), place_elementwise("rms_norm", {x.place(), weight.place()}), {x, weight});
  const Tensor rstd = cx.empty({x.shape().count() / std::max<int64_t>(1, x.size(-1))}, x.dtype());
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    norm_kernels<T>(cx.stream).rms_forward(cx.stream, y.tensor().template rows<T>(), rstd.flat<T>(),
                                           x.tensor().rows<const T>(), weight.tensor().template rows<const T>(),
                                           static_cast<T>(eps));
  });
  auto function = std::make_unique<RmsNorm>();
  function->x = x.tensor();
  function->weight = weight.tensor();
  function->rstd = rstd;
  tape.record(std::move(function), {x, weight}, {y});
  return y;
}

Value l2_norm(Tape& tape, const Value& x, double eps) {
  // An RMS norm of width D with weights D^(-1/2) and eps / D.
  const auto width = static_cast<double>(x.size(-1));
  const Tensor weight = Tensor::full(*tape.context().pool, {x.size(-1)}, x.dtype(), 1 / std::sqrt(width));
  return rms_norm(tape, x, Value(weight, x.place()), eps / width);
}

Value mean_square(Tape& tape, const Value& x, Axis split, int64_t global_width) {
  OG_CHECK(x.place()[split] == Place::varying, "mean_square: {} on the {} axis, expected varying",
           name_of(x.place()[split]), name_of(split));
  Context& cx = tape.context();
  Value y = tape.output(without_last(x.shape()), x.dtype(), x.place().with(split, Place::partial), {x});
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& k = pointwise_kernels<T>(cx.stream);
    k.dot_rows(cx.stream, y.tensor().template flat<T>(), Put::write, x.tensor().rows<const T>(),
               x.tensor().rows<const T>());
    k.scale(cx.stream, y.tensor().template flat<T>(), Put::write, y.tensor().flat<const T>(),
            T{1} / static_cast<T>(global_width));
  });
  auto function = std::make_unique<MeanSquare>();
  function->x = x.tensor();
  function->global_width = static_cast<double>(global_width);
  tape.record(std::move(function), {x}, {y});
  return y;
}

Value rms_apply(Tape& tape, const Value& x, const Value& ms, const Value& weight, double eps) {
  return multiply_last(tape, multiply_rows(tape, x, inverse_root(tape, ms, eps)), weight);
}

}  // namespace og

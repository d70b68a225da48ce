#include "framework/ops/norm.h"

#include <algorithm>

#include "framework/kernels/norm.h"

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

}  // namespace og

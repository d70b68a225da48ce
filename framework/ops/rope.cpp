#include "framework/ops/rope.h"

#include "framework/kernels/rope.h"

namespace og {

namespace {

void rotate(Context& cx, const Tensor& y, Put put, const Tensor& x, const Tensor& start, double theta, int direction) {
  const Profile::Scope time(&cx.profile, Part::attention);
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    rope_kernels<T>(cx.stream).rotate(cx.stream, y.view<T, 4>(), put, x.view<const T, 4>(),
                                      start.view<const int32_t, 2>(), theta, direction);
  });
}

struct Rope final : Function {
  Tensor start;
  double theta = 0;

  const char* name() const override { return "rope"; }

  void backward(Context& cx) override {
    const auto [dx, put] = input(0)->open(cx);
    rotate(cx, dx, put, gradient(cx), start, theta, -1);
  }
};

}  // namespace

Value rope(Tape& tape, const Value& x, const Tensor& start_BT, double theta) {
  OG_CHECK(x.rank() == 4 && x.size(3) % 2 == 0 && start_BT.dtype() == DType::i32 &&
               start_BT.shape() == Shape({x.size(0), x.size(1)}) && theta > 0,
           "rope: x {}, starts {}, theta {}", x.shape().str(), start_BT.shape().str(), theta);
  Value y = tape.output(x.shape(), x.dtype(), place_elementwise("rope", {x.place()}), {x});
  rotate(tape.context(), y.tensor(), Put::write, x.tensor(), start_BT, theta, 1);
  auto function = std::make_unique<Rope>();
  function->start = start_BT;
  function->theta = theta;
  tape.record(std::move(function), {x}, {y});
  return y;
}

}  // namespace og

#include "framework/ops/conv.h"

namespace og {

namespace {

struct ShortConv final : Function {
  Tensor x, left, weight, bias, start;
  ConvActivation activation = ConvActivation::identity;

  const char* name() const override { return "short_conv"; }

  template <class T>
  ConvInputs<T> inputs() const {
    return {.x = x.view<const T, 3>(),
            .left = left.view<const T, 3>(),
            .weight = weight.view<const T, 2>(),
            .bias = bias.view<const T, 1>(),
            .start = start.view<const int32_t, 2>(),
            .activation = activation};
  }

  void backward(Context& cx) override {
    const Profile::Scope time(&cx.profile, Part::mixers);
    const Tensor dy = gradient(cx);
    Slot::Target target[4]{{{}, Put::write}, {{}, Put::write}, {{}, Put::write}, {{}, Put::write}};
    for (size_t i = 0; i < 4; ++i)
      if (input(i)) target[i] = input(i)->open(cx);
    visit_real(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const ConvGradients<T> out{.dx = target[0].tensor.view<T, 3>(),
                                 .put_dx = target[0].put,
                                 .dleft = target[1].tensor.view<T, 3>(),
                                 .put_dleft = target[1].put,
                                 .dweight = target[2].tensor.view<T, 2>(),
                                 .put_dweight = target[2].put,
                                 .dbias = target[3].tensor.view<T, 1>(),
                                 .put_dbias = target[3].put};
      conv_kernels<T>(cx.stream).backward(cx.stream, out, dy.view<const T, 3>(), inputs<T>());
    });
  }
};

}  // namespace

Value short_conv(Tape& tape, const Value& x, const Value& left, const Value& weight, const Value& bias,
                 const Tensor& start_BT, ConvActivation activation) {
  OG_CHECK(x.rank() == 3 && left.rank() == 3 && weight.rank() == 2 && weight.size(0) == x.size(2) &&
               weight.size(1) >= 1 && left.shape() == Shape({x.size(0), weight.size(1) - 1, x.size(2)}) &&
               (!bias.defined() || bias.shape() == Shape({x.size(2)})),
           "short_conv: x {}, left {}, weight {}", x.shape().str(), left.shape().str(), weight.shape().str());
  OG_CHECK(start_BT.dtype() == DType::i32 && start_BT.shape() == Shape({x.size(0), x.size(1)}),
           "short_conv: x {}, starts {}", x.shape().str(), start_BT.shape().str());
  Context& cx = tape.context();
  const Profile::Scope time(&cx.profile, Part::mixers);
  const Placement place = bias.defined()
                              ? place_elementwise("short_conv", {x.place(), left.place(), weight.place(), bias.place()})
                              : place_elementwise("short_conv", {x.place(), left.place(), weight.place()});
  Value y = tape.output(x.shape(), x.dtype(), place, {x, left, weight, bias});
  auto function = std::make_unique<ShortConv>();
  function->x = x.tensor();
  function->left = left.tensor();
  function->weight = weight.tensor();
  function->bias = bias.tensor();
  function->start = start_BT;
  function->activation = activation;
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    conv_kernels<T>(cx.stream).forward(cx.stream, y.tensor().view<T, 3>(), function->inputs<T>());
  });
  tape.record(std::move(function), {x, left, weight, bias}, {y});
  return y;
}

}  // namespace og

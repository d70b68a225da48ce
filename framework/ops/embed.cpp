#include "framework/ops/embed.h"

#include "framework/kernels/embed.h"

namespace og {

namespace {

struct Embed final : Function {
  Tensor tokens_BT;
  int64_t first_row = 0;

  const char* name() const override { return "embed"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dw, put] = input(0)->open(cx);
    visit_real(dy.dtype(), [&, dw = dw, put = put](auto zero) {
      using T = decltype(zero);
      embed_kernels<T>(cx.stream).backward(cx.stream, dw.template rows<T>(), put, dy.rows<const T>(),
                                           tokens_BT.flat<const int32_t>(), first_row);
    });
  }
};

}  // namespace

Value embed(Tape& tape, const Value& weight_VD, const Tensor& tokens_BT, int64_t first_row, const Placement& place) {
  OG_CHECK(weight_VD.rank() == 2 && tokens_BT.rank() == 2 && tokens_BT.dtype() == DType::i32,
           "embed: weight {}, tokens {} {}", weight_VD.shape().str(), name_of(tokens_BT.dtype()),
           tokens_BT.shape().str());
  Value y =
      tape.output({tokens_BT.size(0), tokens_BT.size(1), weight_VD.size(1)}, weight_VD.dtype(), place, {weight_VD});
  visit_real(weight_VD.dtype(), [&](auto zero) {
    using T = decltype(zero);
    embed_kernels<T>(tape.stream())
        .forward(tape.stream(), y.tensor().template rows<T>(), weight_VD.tensor().rows<const T>(),
                 tokens_BT.flat<const int32_t>(), first_row);
  });
  auto function = std::make_unique<Embed>();
  function->tokens_BT = tokens_BT;
  function->first_row = first_row;
  tape.record(std::move(function), {weight_VD}, {y});
  return y;
}

}  // namespace og

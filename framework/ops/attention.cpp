#include "framework/ops/attention.h"

#include <cmath>

#include "framework/kernels/attention.h"

namespace og {

namespace {

struct Attention final : Function {
  Tensor q, k, v, o, lse, start;
  AttentionPiece piece;

  const char* name() const override { return "attention"; }

  void backward(Context& cx) override {
    const Profile::Scope time(&cx.profile, Part::attention);
    const Tensor d_o = gradient(cx);
    Slot::Target target[3];
    for (size_t i = 0; i < 3; ++i)
      if (input(i)) target[i] = input(i)->open(cx);
    visit_real(q.dtype(), [&](auto zero) {
      using T = decltype(zero);
      attention_kernels<T>(cx.stream).backward(
          cx.stream, target[0].tensor.view<T, 4>(), target[0].put, target[1].tensor.view<T, 4>(), target[1].put,
          target[2].tensor.view<T, 4>(), target[2].put, d_o.view<const T, 4>(), q.view<const T, 4>(),
          k.view<const T, 4>(), v.view<const T, 4>(), o.view<const T, 4>(), lse.view<const T, 3>(), piece);
    });
  }
};

}  // namespace

double attention_scale(const AttentionOptions& options, int64_t width) {
  return options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(width));
}

void check_attention_shapes(const char* op, const Value& q, const Value& k, const Value& v, const Tensor& start_BT) {
  OG_CHECK(q.rank() == 4 && k.rank() == 4 && v.rank() == 4 && k.size(0) == q.size(0) && v.size(0) == q.size(0) &&
               k.size(1) == v.size(1) && k.size(2) == v.size(2) && q.size(3) == k.size(3) && k.size(2) > 0 &&
               q.size(2) % k.size(2) == 0,
           "{}: q {}, k {}, v {}", op, q.shape().str(), k.shape().str(), v.shape().str());
  OG_CHECK(!start_BT.defined() || (start_BT.dtype() == DType::i32 && start_BT.shape() == Shape({q.size(0), q.size(1)})),
           "{}: starts {} for q {}", op, start_BT.shape().str(), q.shape().str());
}

Value attention(Tape& tape, const Value& q, const Value& k, const Value& v, const Tensor& start_BT, int64_t offset,
                const AttentionOptions& options) {
  check_attention_shapes("attention", q, k, v, start_BT);
  Context& cx = tape.context();
  const Profile::Scope time(&cx.profile, Part::attention);
  Value o = tape.output({q.size(0), q.size(1), q.size(2), v.size(3)}, q.dtype(),
                        place_elementwise("attention", {q.place(), k.place(), v.place()}), {q, k, v});
  const Tensor lse = cx.empty({q.size(0), q.size(1), q.size(2)}, q.dtype());
  const AttentionPiece piece{.start = start_BT.view<const int32_t, 2>(),
                             .offset = offset,
                             .window = options.window,
                             .heads_per_key = q.size(2) / k.size(2),
                             .scale = attention_scale(options, q.size(3)),
                             .softmax = options.softmax};
  visit_real(q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    attention_kernels<T>(cx.stream).forward(cx.stream, o.tensor().view<T, 4>(), lse.view<T, 3>(), Put::write,
                                            q.tensor().view<const T, 4>(), k.tensor().view<const T, 4>(),
                                            v.tensor().view<const T, 4>(), piece);
  });
  auto function = std::make_unique<Attention>();
  function->q = q.tensor();
  function->k = k.tensor();
  function->v = v.tensor();
  function->o = o.tensor();
  function->lse = lse;
  function->start = start_BT;
  function->piece = piece;
  tape.record(std::move(function), {q, k, v}, {o});
  return o;
}

}  // namespace og

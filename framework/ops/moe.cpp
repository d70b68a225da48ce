#include "framework/ops/moe.h"

namespace og {

namespace {

struct Score final : Function {
  Tensor logits, scores, lse;
  Scoring scoring = Scoring::softmax;
  const char* name() const override { return "router_scores"; }
  void backward(Context& cx) override {
    const Tensor dscores = gradient(cx, 0), dlse = gradient(cx, 1);
    const Profile::Scope scope(&cx.profile, Part::routing);
    auto [dx, put] = input(0)->open(cx);
    visit_real(logits.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      moe_kernels<T>(cx.stream).score_backward(cx.stream, dx.template rows<T>(), put, dscores.rows<const T>(),
                                               dlse.flat<const T>(), scores.rows<const T>(), logits.rows<const T>(),
                                               lse.flat<const T>(), scoring);
    });
  }
};

struct Weigh final : Function {
  Tensor scores, experts;
  bool normalise = true;
  double factor = 1;
  const char* name() const override { return "route_weights"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const Profile::Scope scope(&cx.profile, Part::routing);
    auto [dx, put] = input(0)->open(cx);
    visit_real(scores.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      moe_kernels<T>(cx.stream).weigh_backward(cx.stream, dx.template rows<T>(), put, dy.rows<const T>(),
                                               scores.rows<const T>(), experts.view<const int32_t, 2>(), normalise,
                                               static_cast<T>(factor));
    });
  }
};

struct Gather final : Function {
  Tensor slots;
  const char* name() const override { return "gather_rows"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const Profile::Scope scope(&cx.profile, Part::routing);
    auto [dx, put] = input(0)->open(cx);
    visit_real(dy.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      moe_kernels<T>(cx.stream).combine_forward(cx.stream, dx.template rows<T>(), put, dy.rows<const T>(), {},
                                                slots.view<const int32_t, 2>());
    });
  }
};

struct Combine final : Function {
  Tensor x, weights, slots;
  const char* name() const override { return "combine_rows"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const Profile::Scope scope(&cx.profile, Part::routing);
    Slot::Target dx{{}, Put::write}, dw{{}, Put::write};
    if (input(0)) dx = input(0)->open(cx);
    if (input(1)) dw = input(1)->open(cx);
    visit_real(dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      moe_kernels<T>(cx.stream).combine_backward(cx.stream, dx.tensor.rows<T>(), dx.put, dw.tensor.rows<T>(), dw.put,
                                                 dy.rows<const T>(), x.rows<const T>(), weights.rows<const T>(),
                                                 slots.view<const int32_t, 2>());
    });
  }
};

}  // namespace

RouterScores router_scores(Tape& tape, const Value& logits, Scoring scoring) {
  OG_CHECK(logits.rank() == 2 && logits.size(1) >= 1, "router_scores: logits {}", logits.shape().str());
  Context& cx = tape.context();
  const Profile::Scope scope(&cx.profile, Part::routing);
  const Placement place = place_elementwise("router_scores", {logits.place()});
  RouterScores out{tape.output(logits.shape(), logits.dtype(), place, {logits}),
                   tape.output({logits.size(0)}, logits.dtype(), place, {logits}), scoring};
  visit_real(logits.dtype(), [&](auto zero) {
    using T = decltype(zero);
    moe_kernels<T>(cx.stream).score_forward(cx.stream, out.scores_NE.tensor().template rows<T>(),
                                            out.lse_N.tensor().template flat<T>(), logits.tensor().rows<const T>(),
                                            scoring);
  });
  auto function = std::make_unique<Score>();
  function->logits = logits.tensor();
  function->scores = out.scores_NE.tensor();
  function->lse = out.lse_N.tensor();
  function->scoring = scoring;
  tape.record(std::move(function), {logits}, {out.scores_NE, out.lse_N});
  return out;
}

Tensor choose_experts(Context& cx, const Tensor& scores, const Tensor& bias, int64_t k) {
  OG_CHECK(scores.rank() == 2 && k >= 1 && k <= scores.size(1), "choose_experts: {} of scores {}", k,
           scores.shape().str());
  OG_CHECK(!bias.defined() || (bias.count() == scores.size(1) && bias.dtype() == scores.dtype()),
           "choose_experts: bias {} for scores {}", bias.shape().str(), scores.shape().str());
  const Profile::Scope scope(&cx.profile, Part::routing);
  const Tensor experts = cx.empty({scores.size(0), k}, DType::i32);
  visit_real(scores.dtype(), [&](auto zero) {
    using T = decltype(zero);
    moe_kernels<T>(cx.stream).choose(cx.stream, experts.view<int32_t, 2>(), scores.rows<const T>(),
                                     bias.view<const T, 1>());
  });
  return experts;
}

Value route_weights(Tape& tape, const RouterScores& router, const Tensor& experts, bool normalise, double factor) {
  const Value& scores = router.scores_NE;
  OG_CHECK(experts.rank() == 2 && experts.size(0) == scores.size(0), "route_weights: experts {} for scores {}",
           experts.shape().str(), scores.shape().str());
  Context& cx = tape.context();
  const Profile::Scope scope(&cx.profile, Part::routing);
  Value y =
      tape.output(experts.shape(), scores.dtype(), place_elementwise("route_weights", {scores.place()}), {scores});
  visit_real(scores.dtype(), [&](auto zero) {
    using T = decltype(zero);
    moe_kernels<T>(cx.stream).weigh_forward(cx.stream, y.tensor().template rows<T>(), scores.tensor().rows<const T>(),
                                            experts.view<const int32_t, 2>(), normalise, static_cast<T>(factor));
  });
  auto function = std::make_unique<Weigh>();
  function->scores = scores.tensor();
  function->experts = experts;
  function->normalise = normalise;
  function->factor = factor;
  tape.record(std::move(function), {scores}, {y});
  return y;
}

Value gather_rows(Tape& tape, const Value& x, const Tensor& index, const Tensor& slots) {
  OG_CHECK(x.rank() == 2 && slots.rank() == 2 && slots.size(0) == x.size(0) && index.rank() == 1,
           "gather_rows: index {} and slots {} for x {}", index.shape().str(), slots.shape().str(), x.shape().str());
  Context& cx = tape.context();
  const Profile::Scope scope(&cx.profile, Part::routing);
  Value y = tape.output({index.size(0), x.size(1)}, x.dtype(), x.place(), {x});
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    moe_kernels<T>(cx.stream).gather(cx.stream, y.tensor().template rows<T>(), x.tensor().rows<const T>(),
                                     index.flat<const int32_t>());
  });
  auto function = std::make_unique<Gather>();
  function->slots = slots;
  tape.record(std::move(function), {x}, {y});
  return y;
}

Value combine_rows(Tape& tape, const Value& x, const Value& weights, const Tensor& slots) {
  OG_CHECK(x.rank() == 2 && weights.shape() == slots.shape() && slots.rank() == 2,
           "combine_rows: weights {} and slots {} for x {}", weights.shape().str(), slots.shape().str(),
           x.shape().str());
  Context& cx = tape.context();
  const Profile::Scope scope(&cx.profile, Part::routing);
  Value y = tape.output({slots.size(0), x.size(1)}, x.dtype(),
                        place_elementwise("combine_rows", {x.place(), weights.place()}), {x, weights});
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    moe_kernels<T>(cx.stream).combine_forward(cx.stream, y.tensor().template rows<T>(), Put::write,
                                              x.tensor().rows<const T>(), weights.tensor().rows<const T>(),
                                              slots.view<const int32_t, 2>());
  });
  auto function = std::make_unique<Combine>();
  function->x = x.tensor();
  function->weights = weights.tensor();
  function->slots = slots;
  tape.record(std::move(function), {x, weights}, {y});
  return y;
}

}  // namespace og

#include "framework/ops/balance.h"

namespace og {

namespace {

// A scalar that is a sum over this rank's tokens: partial wherever the tokens vary.
Placement place_of_sum(const Placement& tokens) {
  Placement p = tokens;
  for (const Axis axis : {Axis::data, Axis::sequence, Axis::tensor})
    if (p[axis] == Place::varying) p.set(axis, Place::partial);
  return p;
}

struct Balance final : Function {
  Tensor scores, c;
  TokenRows rows;
  Scoring scoring = Scoring::softmax;
  const char* name() const override { return "balance_loss"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const Profile::Scope scope(&cx.profile, Part::routing);
    auto [dx, put] = input(0)->open(cx);
    visit_real(scores.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      balance_kernels<T>(cx.stream).loss_backward(cx.stream, dx.template rows<T>(), put, dy.flat<const T>(),
                                                  scores.rows<const T>(), c.view<const T, 2>(), rows, scoring);
    });
  }
};

struct ZLoss final : Function {
  Tensor lse;
  double c = 0;
  const char* name() const override { return "z_loss"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(lse.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      balance_kernels<T>(cx.stream).z_backward(cx.stream, dx.template flat<T>(), put, dy.flat<const T>(),
                                               lse.flat<const T>(), c);
    });
  }
};

}  // namespace

Tensor balance_coefficients(Context& cx, const Tensor& counts, const BalanceScale& scale, DType dtype) {
  OG_CHECK(counts.rank() == 2 && counts.dtype() == DType::i32, "balance_coefficients: counts {} {}",
           name_of(counts.dtype()), counts.shape().str());
  const Profile::Scope scope(&cx.profile, Part::routing);
  const Tensor c = cx.empty(counts.shape(), dtype);
  visit_real(dtype, [&](auto zero) {
    using T = decltype(zero);
    balance_kernels<T>(cx.stream).coefficients(cx.stream, c.view<T, 2>(), counts.view<const int32_t, 2>(), scale);
  });
  return c;
}

Value balance_loss(Tape& tape, const RouterScores& router, const Tensor& c, TokenRows rows) {
  const Value& scores = router.scores_NE;
  const int64_t n = scores.size(0);
  OG_CHECK(c.rank() == 2 && c.size(1) == scores.size(1) && c.dtype() == scores.dtype() &&
               (n == 0 || rows(n - 1) < c.size(0)),
           "balance_loss: coefficients {} for scores {}", c.shape().str(), scores.shape().str());
  Context& cx = tape.context();
  const Profile::Scope scope(&cx.profile, Part::routing);
  Value y = tape.output({1}, scores.dtype(), place_of_sum(scores.place()), {scores});
  visit_real(scores.dtype(), [&](auto zero) {
    using T = decltype(zero);
    balance_kernels<T>(cx.stream).loss_forward(cx.stream, y.tensor().template flat<T>(),
                                               scores.tensor().rows<const T>(), c.view<const T, 2>(), rows,
                                               router.scoring);
  });
  auto function = std::make_unique<Balance>();
  function->scores = scores.tensor();
  function->c = c;
  function->rows = rows;
  function->scoring = router.scoring;
  tape.record(std::move(function), {scores}, {y});
  return y;
}

Value z_loss(Tape& tape, const Value& lse, double c) {
  Value y = tape.output({1}, lse.dtype(), place_of_sum(lse.place()), {lse});
  visit_real(lse.dtype(), [&](auto zero) {
    using T = decltype(zero);
    balance_kernels<T>(tape.stream())
        .z_forward(tape.stream(), y.tensor().template flat<T>(), lse.tensor().flat<const T>(), c);
  });
  auto function = std::make_unique<ZLoss>();
  function->lse = lse.tensor();
  function->c = c;
  tape.record(std::move(function), {lse}, {y});
  return y;
}

void move_bias(const Stream& stream, const Tensor& bias, const Tensor& loads, double rate) {
  OG_CHECK(bias.shape() == loads.shape(), "move_bias: bias {} for loads {}", bias.shape().str(), loads.shape().str());
  visit_real(bias.dtype(), [&](auto zero) {
    using T = decltype(zero);
    balance_kernels<T>(stream).move_bias(stream, bias.flat<T>(), loads.flat<const int64_t>(), static_cast<T>(rate));
  });
}

}  // namespace og

// What keeps loads even: vectorised losses are the reference's bits, coefficients and biases are those worked out by
// hand. Gradients: op_table_test.cpp.
#include "framework/ops/balance.h"

#include <gtest/gtest.h>

#include "tests/tensors.h"

namespace og {
namespace {

struct Size {
  int64_t n, e;
};

class BalanceLoss : public testing::TestWithParam<Size> {};

TEST_P(BalanceLoss, IsTheReferenceBitForBitAtAnyNumberOfThreads) {
  const auto [n, e] = GetParam();
  Context cx;
  const TokenRows rows{.first = 3, .per_row = 4};
  const Tensor scores = random_tensor(cx, {n, e}, DType::f32, 1), lse = random_tensor(cx, {n}, DType::f32, 2, 3),
               c = random_tensor(cx, {rows(n) + 1, e}, DType::f32, 3), dloss = random_tensor(cx, {1}, DType::f32, 4);
  for (int64_t i = 0; i < scores.count(); ++i) scores.data<float>()[i] = std::abs(scores.data<float>()[i]) + 0.01F;
  for (const Scoring scoring : {Scoring::softmax, Scoring::sigmoid})
    for (const Put put : {Put::write, Put::add}) {
      std::vector<Tensor> results[3];  // the reference's, this processor's on one thread and on three
      for (size_t i = 0; i < 3; ++i) {
        const Stream stream{.backend = i == 0 ? Backend::ref : Backend::cpu, .num_threads = i == 2 ? 3 : 1};
        const BalanceKernels<float>& k = balance_kernels<float>(stream);
        const Tensor loss = cx.empty({1}, DType::f32), z = cx.empty({1}, DType::f32);
        const Tensor ds = put == Put::write ? cx.empty({n, e}, DType::f32) : random_tensor(cx, {n, e}, DType::f32, 5),
                     dlse = put == Put::write ? cx.empty({n}, DType::f32) : random_tensor(cx, {n}, DType::f32, 6);
        k.loss_forward(stream, loss.view<float, 1>(), scores.view<const float, 2>(), c.view<const float, 2>(), rows,
                       scoring);
        k.loss_backward(stream, ds.view<float, 2>(), put, dloss.view<const float, 1>(), scores.view<const float, 2>(),
                        c.view<const float, 2>(), rows, scoring);
        k.z_forward(stream, z.view<float, 1>(), lse.view<const float, 1>(), 0.25);
        k.z_backward(stream, dlse.view<float, 1>(), put, dloss.view<const float, 1>(), lse.view<const float, 1>(),
                     0.25);
        results[i] = {loss, ds, z, dlse};
      }
      for (size_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(same_bits(results[1][i], results[0][i])) << i;
        EXPECT_TRUE(same_bits(results[2][i], results[0][i])) << i;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Sizes, BalanceLoss,
                         testing::Values(Size{1, 1}, Size{3, 7}, Size{4, 8}, Size{5, 16}, Size{2, 33}, Size{0, 4},
                                         Size{1501, 65}));

TEST(Balance, LossesAreTheirFormulas) {
  Context cx;
  Tape tape(cx, Tape::Mode::no_gradient);
  const Tensor scores = cx.empty({2, 2}, DType::f64), c = cx.empty({2, 2}, DType::f64), lse = cx.empty({2}, DType::f64);
  const double s[] = {0.25, 0.75, 0.5, 1.5}, coefficients[] = {2, 4, 1, 3};
  std::copy(std::begin(s), std::end(s), scores.data<double>());
  std::copy(std::begin(coefficients), std::end(coefficients), c.data<double>());
  lse.data<double>()[0] = 3, lse.data<double>()[1] = -1;
  const auto loss = [&](Scoring scoring) {
    return balance_loss(tape, {Value(scores), Value(), scoring}, c, {0, 1}).tensor().at(0);
  };
  EXPECT_DOUBLE_EQ(loss(Scoring::softmax), 2 * 0.25 + 4 * 0.75 + 1 * 0.5 + 3 * 1.5);
  EXPECT_DOUBLE_EQ(loss(Scoring::sigmoid), 2 * 0.25 + 4 * 0.75 + (1 * 0.5 + 3 * 1.5) / 2);
  EXPECT_DOUBLE_EQ(z_loss(tape, Value(lse), 0.5).tensor().at(0), 5);
}

TEST(Balance, CoefficientsComeFromCounts) {
  Context cx;
  const Tensor counts = cx.empty({2, 2}, DType::i32);
  const int32_t values[] = {6, 2, 0, 0};  // 4 tokens with 2 choices each; a scope without tokens
  std::copy(std::begin(values), std::end(values), counts.data<int32_t>());
  const BalanceScale scale{.coefficient = 0.5, .choices_per_token = 2, .row_length = 4, .rows_in_step = 10};
  const Tensor c = balance_coefficients(cx, counts, scale, DType::f64);
  // a E w f / T = 0.5 * 2 * 0.1 * (6 / 8, 2 / 8) / 4.
  for (const auto& [i, expected] : {std::pair(0, 0.1 * 0.75 / 4), {1, 0.1 * 0.25 / 4}, {2, 0.0}, {3, 0.0}})
    EXPECT_NEAR(c.at(i), expected, 1e-17) << i;
}

TEST(Balance, BiasesMoveTowardsTheMean) {
  Context cx;
  const Tensor bias = Tensor::full(*cx.pool, {3}, DType::f32, 0.5), loads = cx.empty({3}, DType::i64);
  const int64_t values[] = {1, 2, 3};
  std::copy(std::begin(values), std::end(values), loads.data<int64_t>());
  move_bias(cx.stream, bias, loads, 0.125);
  for (const auto& [e, expected] : {std::pair(0, 0.625), {1, 0.5}, {2, 0.375}}) EXPECT_EQ(bias.at(e), expected);
}

}  // namespace
}  // namespace og

// Routing on one rank: vectorised kernels against plain loops, ties. Gradients: op_table_test.cpp.
#include <gtest/gtest.h>

#include "framework/ops/moe.h"
#include "tests/tensors.h"

namespace og {
namespace {

struct Size {
  int64_t n, e, k, d;
};

Tensor ints(Context& cx, const Shape& shape, const std::vector<int32_t>& values) {
  const Tensor t = cx.empty(shape, DType::i32);
  std::copy(values.begin(), values.end(), t.data<int32_t>());
  return t;
}

class Routing : public testing::TestWithParam<Size> {};

TEST_P(Routing, VectorisedEqualsPlainLoops) {
  const auto [n, e, k, d] = GetParam();
  Context cx;
  const Stream stream{.num_threads = 2};
  const auto &ref = moe_ref<float>(), &cpu = moe_kernels<float>(stream);
  const auto random = [&](const Shape& shape, uint64_t key) { return random_tensor(cx, shape, DType::f32, key); };
  const auto m = [](const Tensor& t) { return t.view<float, 2>(); };
  const auto c = [](const Tensor& t) { return t.view<const float, 2>(); };
  const auto v = [](const Tensor& t) { return t.view<const float, 1>(); };
  const Tensor logits = random({n, e}, 1), ds = random({n, e}, 2), dlse = random({n}, 3), bias = random({e}, 4);
  for (const Scoring scoring : {Scoring::softmax, Scoring::sigmoid}) {
    Tensor s[2], lse[2], dl[2];
    for (const int i : {0, 1}) {
      const auto& table = i ? cpu : ref;
      s[i] = cx.empty({n, e}, DType::f32);
      lse[i] = cx.empty({n}, DType::f32);
      table.score_forward(stream, m(s[i]), lse[i].view<float, 1>(), c(logits), scoring);
      dl[i] = random({n, e}, 5);
      table.score_backward(stream, m(dl[i]), Put::add, c(ds), v(dlse), c(s[0]), c(logits), v(lse[0]), scoring);
      table.score_backward(stream, m(dl[i]), Put::add, {}, v(dlse), c(s[0]), c(logits), v(lse[0]), scoring);
    }
    EXPECT_LT(distance(s[1], s[0]), 1e-6);
    EXPECT_LT(distance(lse[1], lse[0]), 1e-6);
    EXPECT_LT(distance(dl[1], dl[0]), 3e-6);
    Tensor chosen[2];
    for (const int i : {0, 1}) {
      chosen[i] = cx.empty({n, k}, DType::i32);
      (i ? cpu : ref).choose(stream, chosen[i].view<int32_t, 2>(), c(s[0]), v(bias));
    }
    EXPECT_TRUE(same_bits(chosen[0], chosen[1]));
  }

  // Every third choice has no row; the others are in some order.
  const int64_t rows = n * k - (n * k + 2) / 3;
  const Tensor slots = cx.empty({n, k}, DType::i32), index = cx.empty({rows + 2}, DType::i32);
  for (const int64_t empty : {rows, rows + 1}) index.data<int32_t>()[empty] = -1;  // rows of no token
  int32_t next = 0;
  for (int64_t i = 0; i < n * k; ++i) {
    slots.data<int32_t>()[i] = i % 3 == 0 ? -1 : static_cast<int32_t>(rows) - 1 - next++;
    if (i % 3 != 0) index.data<int32_t>()[slots.data<int32_t>()[i]] = static_cast<int32_t>(i / k);
  }
  const auto slot = slots.view<const int32_t, 2>();
  const Tensor x = random({rows, d}, 6), w = random({n, k}, 7), dy = random({n, d}, 8);
  for (const Put put : {Put::write, Put::add})
    for (const bool weighted : {true, false}) {
      const View<const float, 2> weights = weighted ? c(w) : View<const float, 2>();
      Tensor y[2], dx[2], dw[2], g[2];
      for (const int i : {0, 1}) {
        const auto& table = i ? cpu : ref;
        y[i] = random({n, d}, 9);
        table.combine_forward(stream, m(y[i]), put, c(x), weights, slot);
        dx[i] = random({rows, d}, 10);
        dw[i] = random({n, k}, 11);
        table.combine_backward(stream, m(dx[i]), put, m(dw[i]), put, c(dy), c(x), weights, slot);
        g[i] = cx.empty({rows + 2, d}, DType::f32);
        table.gather(stream, m(g[i]), c(dy), index.view<const int32_t, 1>());
      }
      EXPECT_LT(distance(y[1], y[0]), 1e-6);
      EXPECT_LT(distance(dx[1], dx[0]), 1e-6);
      EXPECT_LT(distance(dw[1], dw[0]), 1e-5);
      EXPECT_TRUE(same_bits(g[1], g[0]));
    }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Routing,
                         testing::Values(Size{1, 1, 1, 1}, Size{7, 3, 2, 5}, Size{300, 64, 8, 33},
                                         Size{65, 17, 17, 130}, Size{0, 4, 2, 8}));

TEST(Choice, TiesGoToTheLowerIdAndTheLowestIdStandsFirst) {
  Context cx;
  const Tensor scores = cx.empty({3, 4}, DType::f32), bias = cx.zeros({4}, DType::f32);
  const float values[] = {1, 2, 2, 2, 5, 1, 0, 4, 3, 3, 3, 3};
  std::copy(std::begin(values), std::end(values), scores.data<float>());
  EXPECT_TRUE(same_bits(choose_experts(cx, scores, Tensor(), 2), ints(cx, {3, 2}, {1, 2, 0, 3, 0, 1})));
  bias.data<float>()[3] = 0.5F;
  EXPECT_TRUE(same_bits(choose_experts(cx, scores, bias, 2), ints(cx, {3, 2}, {1, 3, 0, 3, 0, 3})));
  scores.fill(std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(same_bits(choose_experts(cx, scores, Tensor(), 2), ints(cx, {3, 2}, {0, 1, 0, 1, 0, 1})));
}

}  // namespace
}  // namespace og

// Functions of single elements: vectorised kernels against the reference, extremes. Gradients: op_table_test.cpp.
#include "framework/kernels/pointwise.h"

#include <gtest/gtest.h>

#include "tests/tensors.h"

namespace og {
namespace {

TEST(Pointwise, VectorisedMatchesReference) {
  Context cx;
  const Stream ref{.backend = Backend::ref}, cpu{.num_threads = 2};
  for (int64_t n : {1, 17, 40001}) {
    const Tensor x = random_tensor(cx, {n}, DType::f32, 5, 4), dy = random_tensor(cx, {n}, DType::f32, 6);
    for (int u = 0; u < kNumUnary; ++u) {
      const auto f = static_cast<Unary>(u);
      Tensor y[2], dx[2];
      for (int i : {0, 1}) {
        const Stream& s = i ? cpu : ref;
        y[i] = cx.empty({n}, DType::f32);
        dx[i] = random_tensor(cx, {n}, DType::f32, 7);
        pointwise_kernels<float>(s).unary_forward(s, f, y[i].flat<float>(), x.flat<const float>());
        pointwise_kernels<float>(s).unary_backward(s, f, dx[i].flat<float>(), Put::add, dy.flat<const float>(),
                                                   x.flat<const float>());
      }
      EXPECT_LT(distance(y[1], y[0]), 2e-6) << name_of(f);
      EXPECT_LT(distance(dx[1], dx[0]), 2e-6) << name_of(f);
    }
  }
}

TEST(Pointwise, SumsOfRepeatsKeepTheirOrder) {
  Context cx;
  struct Size {
    int64_t rows, width, n;
  };
  for (const auto& [rows, width, n] : {Size{1, 1, 1}, {5, 1, 3}, {7, 19, 2}, {400, 64, 5}, {0, 4, 2}, {3, 33, 1}})
    for (const Put put : {Put::write, Put::add}) {
      const Tensor dy = random_tensor(cx, {rows * n, width}, DType::f32, 1);
      const Tensor expected = random_tensor(cx, {rows, width}, DType::f32, 2);
      Tensor found[3];
      for (Tensor& f : found) f = put == Put::add ? expected.clone(*cx.pool) : cx.empty({rows, width}, DType::f32);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t d = 0; d < width; ++d) {
          float sum = 0;
          for (int64_t i = 0; i < n; ++i) sum += dy.rows<float>()(r * n + i, d);
          store(expected.rows<float>()(r, d), put, sum);
        }
      const Stream streams[] = {{.backend = Backend::ref}, {}, {.num_threads = 3}};
      for (const int i : {0, 1, 2}) {
        pointwise_kernels<float>(streams[i])
            .sum_repeats(streams[i], found[i].rows<float>(), put, dy.rows<const float>(), n);
        EXPECT_TRUE(same_bits(found[i], expected)) << rows << " x " << width << ", " << n << " times";
      }
    }
}

TEST(Pointwise, ExtremesAreExactOrInfiniteAndNaNStays) {
  Context cx;
  const float values[] = {0.0F, -0.0F, 1e-8F, -1e-8F, 80.0F, -80.0F, -100.0F, 88.0F, -HUGE_VALF};
  const Tensor x = cx.empty({9}, DType::f32);
  std::copy(std::begin(values), std::end(values), x.data<float>());
  for (Unary f : {Unary::exp, Unary::sigmoid, Unary::log_sigmoid, Unary::softplus, Unary::one_minus_exp}) {
    Tensor y[2];
    for (int i : {0, 1}) {
      const Stream s{.backend = i ? Backend::cpu : Backend::ref};
      y[i] = cx.empty({9}, DType::f32);
      pointwise_kernels<float>(s).unary_forward(s, f, y[i].flat<float>(), x.flat<const float>());
    }
    for (int64_t i = 0; i < 9; ++i) {
      if (std::isinf(y[0].at(i))) {
        EXPECT_EQ(y[1].at(i), y[0].at(i)) << name_of(f) << " of " << values[i];
      } else {
        EXPECT_NEAR(y[1].at(i), y[0].at(i), 1e-37 + 4e-7 * std::abs(y[0].at(i))) << name_of(f) << " of " << values[i];
      }
    }
  }
  x.fill(std::nan(""));
  const Stream s;
  const Tensor y = cx.empty({9}, DType::f32);
  pointwise_kernels<float>(s).unary_forward(s, Unary::silu, y.flat<float>(), x.flat<const float>());
  EXPECT_TRUE(std::isnan(y.at(3)));
}

}  // namespace
}  // namespace og

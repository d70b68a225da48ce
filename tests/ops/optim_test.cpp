// AdamW against its formula, schedules at their corners, sums of squares at any thread count.
#include <gtest/gtest.h>

#include <cmath>

#include "framework/kernels/optim.h"
#include "framework/optim/schedule.h"
#include "tests/tensors.h"

namespace og {
namespace {

TEST(AdamW, VectorisedMatchesReference) {
  Context cx;
  for (int64_t n : {0, 1, 7, 63, 1000, 40000}) {
    const AdamWStep step{1e-2, 0.9, 0.95, 1e-8, 0.1, 1 - 0.9, 1 - 0.95};
    const Tensor scale = Tensor::full(*cx.pool, {1}, DType::f64, 0.5);
    Tensor g = random_tensor(cx, {n}, DType::f32, 4);
    Tensor out[2][3];
    for (int which : {0, 1}) {
      Tensor* t = out[which];
      for (int i = 0; i < 3; ++i) t[i] = random_tensor(cx, {n}, DType::f32, static_cast<uint64_t>(i));
      for (int64_t i = 0; i < n; ++i) t[2].data<float>()[i] = std::abs(t[2].data<float>()[i]);
      const Stream stream{.backend = which ? Backend::cpu : Backend::ref, .num_threads = 2};
      optim_kernels<float>(stream).adamw(stream, t[0].flat<float>(), t[1].flat<float>(), t[2].flat<float>(),
                                         g.flat<const float>(), scale.flat<const double>(), step);
    }
    for (int i = 0; i < 3; ++i) EXPECT_LT(distance(out[1][i], out[0][i]), 1e-6) << n;
  }
}

TEST(AdamW, FirstStepMovesByTheRateAgainstTheSign) {
  Context cx;
  Tensor w = Tensor::full(*cx.pool, {2}, DType::f64, 1), m = cx.zeros({2}, DType::f64), v = cx.zeros({2}, DType::f64);
  Tensor g = cx.zeros({2}, DType::f64);
  const Tensor one = Tensor::full(*cx.pool, {1}, DType::f64, 1);
  g.data<double>()[0] = 3;
  g.data<double>()[1] = -5;
  optim_kernels<double>(cx.stream).adamw(cx.stream, w.flat<double>(), m.flat<double>(), v.flat<double>(),
                                         g.flat<const double>(), one.flat<const double>(),
                                         {0.1, 0.9, 0.95, 1e-12, 0.5, 1 - 0.9, 1 - 0.95});
  EXPECT_NEAR(w.at(0), 1 - 0.1 - 0.05, 1e-10);
  EXPECT_NEAR(w.at(1), 1 + 0.1 - 0.05, 1e-10);
}

// What a step with bad numbers does: nothing, in every element and on every table.
TEST(AdamW, AScaleOfZeroOrThatIsNotFiniteChangesNothing) {
  Context cx;
  for (const DType dtype : {DType::f32, DType::f64})
    for (const double scale : {0.0, -0.0, std::nan(""), HUGE_VAL, -HUGE_VAL})
      for (const Backend backend : {Backend::ref, Backend::cpu}) {
        const Stream stream{.backend = backend, .num_threads = 2};
        Tensor t[3], before[3];
        for (size_t i = 0; i < 3; ++i) {
          t[i] = random_tensor(cx, {40001}, dtype, i);
          before[i] = t[i].clone(*cx.pool);
        }
        const Tensor g = Tensor::full(*cx.pool, {40001}, dtype, std::nan("")), s = cx.zeros({1}, DType::f64);
        s.fill(scale);
        visit_real(dtype, [&](auto zero) {
          using T = decltype(zero);
          optim_kernels<T>(stream).adamw(stream, t[0].flat<T>(), t[1].flat<T>(), t[2].flat<T>(), g.flat<const T>(),
                                         s.flat<const double>(), {1e-2, 0.9, 0.95, 1e-8, 0.1, 1 - 0.9, 1 - 0.95});
        });
        for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(same_bits(t[i], before[i])) << scale;
      }
}

// The sum of squares of x, divided, over what was there.
double sum_squares(const OptimKernels<float>& kernels, const Stream& stream, const Tensor& x, double divisor = 1,
                   double before = 0) {
  Context cx;
  const Tensor sum = Tensor::full(*cx.pool, {1}, DType::f64, before);
  kernels.sum_squares(stream, sum.flat<double>(), x.flat<const float>(), divisor);
  return sum.at(0);
}

TEST(SumSquares, SameBitsAtAnyThreadCount) {
  Context cx;
  const Stream one{.num_threads = 1}, two{.num_threads = 2};
  for (const int64_t n : {1, 7, 65537, 300001}) {
    const Tensor x = random_tensor(cx, {n}, DType::f32, 9);
    const double a = sum_squares(optim_kernels<float>(one), one, x);
    EXPECT_EQ(a, sum_squares(optim_kernels<float>(two), two, x));
    EXPECT_NEAR(a, sum_squares(optim_ref<float>(), one, x), 1e-9 * a);
    EXPECT_EQ(sum_squares(optim_kernels<float>(one), one, x, 3, 0.1), 0.1 + a / 3);
  }
  EXPECT_EQ(sum_squares(optim_kernels<float>(one), one, cx.empty({0}, DType::f32), 3, 0.1), 0.1);
}

TEST(Clip, LimitsTheNormAndIsZeroWhereANumberIsBad) {
  Context cx;
  const double nan = std::nan("");
  const auto clip = [&](double square_norm, double loss, double limit, auto zero, Backend backend) {
    const Stream stream{.backend = backend};
    const Tensor in = cx.empty({2}, DType::f64), out = cx.empty({2}, DType::f64);
    in.data<double>()[0] = square_norm;
    in.data<double>()[1] = loss;
    optim_kernels<decltype(zero)>(stream).clip(stream, out.slice(0, 1).flat<double>(), out.slice(1, 2).flat<double>(),
                                               in.slice(0, 1).flat<const double>(), in.slice(1, 2).flat<const double>(),
                                               limit);
    return std::pair(out.at(0), out.at(1));
  };
  const auto on_all_tables = [&](double square_norm, double loss, double limit) {
    const auto found = clip(square_norm, loss, limit, double{}, Backend::ref);
    for (const auto& other :
         {clip(square_norm, loss, limit, float{}, Backend::ref), clip(square_norm, loss, limit, float{}, Backend::cpu)})
      EXPECT_EQ(found.second, other.second);
    return found;
  };
  EXPECT_EQ(on_all_tables(16, 1, 1), std::pair(4.0, 0.25));
  EXPECT_EQ(on_all_tables(16, 1, 0), std::pair(4.0, 1.0));  // no clipping
  EXPECT_EQ(on_all_tables(0.25, 1, 1), std::pair(0.5, 1.0));
  EXPECT_EQ(on_all_tables(1, 1, 1), std::pair(1.0, 1.0));
  EXPECT_EQ(on_all_tables(0, 1, 1), std::pair(0.0, 1.0));
  for (const double bad : {nan, HUGE_VAL}) {
    EXPECT_EQ(on_all_tables(bad, 1, 1).second, 0);
    EXPECT_EQ(on_all_tables(16, bad, 1).second, 0);
    EXPECT_EQ(on_all_tables(16, -bad, 0).second, 0);
  }
}

TEST(Schedule, CornersOfEachShape) {
  const Schedule cosine{ScheduleType::cosine, 10, 0, 0.1}, linear{ScheduleType::linear, 0, 0, 0},
      wsd{ScheduleType::wsd, 10, 20, 0.1};
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 1, 1, 100), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 1, 10, 100), 1);
  EXPECT_NEAR(learning_rate(cosine, 1, 55, 100), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate(cosine, 1, 100, 100), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate(linear, 1, 25, 100), 0.75);
  EXPECT_DOUBLE_EQ(learning_rate(linear, 1, 100, 100), 0);
  EXPECT_DOUBLE_EQ(learning_rate(wsd, 1, 80, 100), 1);
  EXPECT_NEAR(learning_rate(wsd, 1, 90, 100), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate(wsd, 1, 100, 100), 0.1, 1e-12);
}

}  // namespace
}  // namespace og

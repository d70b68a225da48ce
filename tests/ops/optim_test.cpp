// AdamW against its formula, schedules at their corners, sums of squares at any thread count.
#include <gtest/gtest.h>

#include "framework/kernels/optim.h"
#include "framework/optim/schedule.h"
#include "tests/tensors.h"

namespace og {
namespace {

TEST(AdamW, VectorisedMatchesReference) {
  Context cx;
  for (int64_t n : {0, 1, 7, 63, 1000, 40000}) {
    const AdamWStep step{1e-2, 0.9, 0.95, 1e-8, 0.1, 1 - 0.9, 1 - 0.95, 0.5};
    Tensor g = random_tensor(cx, {n}, DType::f32, 4);
    Tensor out[2][3];
    for (int which : {0, 1}) {
      Tensor* t = out[which];
      for (int i = 0; i < 3; ++i) t[i] = random_tensor(cx, {n}, DType::f32, static_cast<uint64_t>(i));
      for (int64_t i = 0; i < n; ++i) t[2].data<float>()[i] = std::abs(t[2].data<float>()[i]);
      const Stream stream{.backend = which ? Backend::cpu : Backend::ref, .num_threads = 2};
      optim_kernels<float>(stream).adamw(stream, t[0].flat<float>(), t[1].flat<float>(), t[2].flat<float>(),
                                         g.flat<const float>(), step);
    }
    for (int i = 0; i < 3; ++i) EXPECT_LT(distance(out[1][i], out[0][i]), 1e-6) << n;
  }
}

TEST(AdamW, FirstStepMovesByTheRateAgainstTheSign) {
  Context cx;
  Tensor w = Tensor::full(*cx.pool, {2}, DType::f64, 1), m = cx.zeros({2}, DType::f64), v = cx.zeros({2}, DType::f64);
  Tensor g = cx.zeros({2}, DType::f64);
  g.data<double>()[0] = 3;
  g.data<double>()[1] = -5;
  optim_kernels<double>(cx.stream).adamw(cx.stream, w.flat<double>(), m.flat<double>(), v.flat<double>(),
                                         g.flat<const double>(), {0.1, 0.9, 0.95, 1e-12, 0.5, 1 - 0.9, 1 - 0.95, 1});
  EXPECT_NEAR(w.at(0), 1 - 0.1 - 0.05, 1e-10);
  EXPECT_NEAR(w.at(1), 1 + 0.1 - 0.05, 1e-10);
}

TEST(SumSquares, SameBitsAtAnyThreadCount) {
  Context cx;
  const Tensor x = random_tensor(cx, {300001}, DType::f32, 9);
  const Stream one{.num_threads = 1}, two{.num_threads = 2};
  const double a = optim_kernels<float>(one).sum_squares(one, x.flat<const float>());
  EXPECT_EQ(a, optim_kernels<float>(two).sum_squares(two, x.flat<const float>()));
  EXPECT_NEAR(a, optim_ref<float>().sum_squares(one, x.flat<const float>()), 1e-9 * a);
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

// Sums of a step: each place is the sum of what was added, in order and in f64, whatever the type.
#include "framework/nn/step_sums.h"

#include <gtest/gtest.h>

#include "framework/ops/scalars.h"
#include "tests/tensors.h"

namespace og {
namespace {

double at(const StepSums& sums, StepSum place) { return sums.at(place).at(0); }

TEST(StepSums, PlacesGrowInOrderAndInF64) {
  Context cx;
  const StepSums sums(cx, 2);
  EXPECT_EQ(sums.all().count(), kNumStepSums + 2);
  double expected[2] = {};
  for (uint64_t i = 0; i < 50; ++i) {
    const Tensor x = random_tensor(cx, {1}, DType::f32, i), y = random_tensor(cx, {1, 1}, DType::f64, i);
    sums.add(cx, StepSum::aux_loss, x);
    sums.add(cx, StepSum::z_loss, y, 0.3);
    expected[0] += static_cast<double>(x.at(0));
    expected[1] += 0.3 * y.at(0);
  }
  EXPECT_EQ(at(sums, StepSum::aux_loss), expected[0]);
  EXPECT_EQ(at(sums, StepSum::z_loss), expected[1]);
  sums.add(cx, StepSum::tokens_dropped, Tensor::full(*cx.pool, {1}, DType::i32, -3));
  sums.add(cx, StepSum::tokens_dropped, Tensor::full(*cx.pool, {1}, DType::i64, 1LL << 40));
  sums.add(cx, StepSum::tokens_dropped, 2);
  EXPECT_EQ(at(sums, StepSum::tokens_dropped), static_cast<double>((1LL << 40) - 1));
  add_scalar(cx.stream, sums.at(kNumStepSums + 1), sums.at(StepSum::aux_loss));
  EXPECT_EQ(sums.at(kNumStepSums + 1).at(0), expected[0]);
  for (const StepSum untouched : {StepSum::loss, StepSum::stop, StepSum::gradient_scale})
    EXPECT_EQ(at(sums, untouched), 0);
  EXPECT_THROW(sums.add(cx, StepSum::loss, cx.zeros({2}, DType::f32)), Error);
}

TEST(StepSums, WhatIsNotLoggedIsDropped) {
  Context cx;
  const Tensor x = Tensor::full(*cx.pool, {1}, DType::f32, 2);
  StepSums().add(cx, StepSum::loss, x);
  StepSums().add(cx, StepSum::loss, 1);
  const StepSums sums(cx), some = sums.only({StepSum::loss, StepSum::stop});
  some.add(cx, StepSum::loss, x);
  some.add(cx, StepSum::aux_loss, x);
  some.only({StepSum::aux_loss, StepSum::stop}).add(cx, StepSum::aux_loss, 1);
  some.only({StepSum::aux_loss, StepSum::stop}).add(cx, StepSum::stop, 1);
  EXPECT_EQ(at(sums, StepSum::loss), 2);
  EXPECT_EQ(at(sums, StepSum::aux_loss), 0);
  EXPECT_EQ(at(sums, StepSum::stop), 1);
}

}  // namespace
}  // namespace og

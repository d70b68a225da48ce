// The parts of `bench sequence` that the program's own tests (program/bench.sh) cannot see: waits of ranks outside a
// group, estimates, and what a check notices.
#include "framework/bench/sequence/sweep.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "framework/bench/sequence/check.h"

namespace og {
namespace {

SequenceBench small_bench() {
  SequenceBench bench;
  bench.subject.mixer = "linear";
  bench.subject.heads = 2;
  bench.subject.head_dim = 16;
  bench.methods = sequence_methods(bench.subject, {"lasp2"});
  bench.lengths = {2048};
  return bench;
}

// A rank outside of the group waits through twice the time-out; every single wait is short.
TEST(BenchSequence, RanksOutsideAGroupDoNotTimeOut) {
  SequenceBench bench = small_bench();
  bench.ranks = {1};
  bench.repeats = 1;
  const std::vector<SequencePoint> once = bench_sequence(*make_self_comm(), bench);
  const double timeout = std::max(0.7, 20 * once.at(0).cost.seconds);
  bench.repeats = static_cast<int64_t>(2 * timeout / once.at(0).cost.seconds) + 1;
  run_thread_world(2,
                   [&](Comm& world) {
                     const std::vector<SequencePoint> points = bench_sequence(world, bench);
                     EXPECT_EQ(points.size(), world.rank() == 0 ? 1u : 0u);
                   },
                   {.timeout_seconds = timeout});
}

TEST(BenchSequence, EstimatesFollowTheGrowthBetweenTwoLengths) {
  PassEstimates mixed(Growth::mixed);
  mixed.learn({2048, 1}, {1, 100, 1000});
  EXPECT_DOUBLE_EQ(mixed.of({4096, 1}).seconds, 2);
  EXPECT_DOUBLE_EQ(mixed.of({4096, 1}).memory, 2000);
  mixed.learn({8192, 1}, {16, 100, 4000});  // it was quadratic, of fixed bytes
  EXPECT_NEAR(mixed.of({32768, 1}).seconds, 256, 1e-9);
  EXPECT_NEAR(mixed.of({32768, 1}).bytes, 100, 1e-9);
  EXPECT_DOUBLE_EQ(mixed.of({8192, 1}).seconds, 16);
  EXPECT_DOUBLE_EQ(mixed.of({4096, 1}).seconds, 2) << "from the shorter one";
  mixed.learn({8192, 1}, {4, 100, 4000});  // noise had added
  mixed.learn({8192, 1}, {9, 100, 4000});
  EXPECT_NEAR(mixed.of({32768, 1}).seconds, 16, 1e-9);
  EXPECT_NEAR(mixed.of({8192, 4}).seconds, 16, 1e-9) << "rows are not length";
  PassEstimates step(Growth::linear);  // 500 for weights, 1 a token
  step.learn({100, 1}, {1, 0, 600});
  EXPECT_DOUBLE_EQ(step.of({200, 1}).memory, 1200) << "of one pass alone: all of it";
  step.learn({400, 1}, {1, 0, 900});
  EXPECT_DOUBLE_EQ(step.of({1000, 10}).memory, 10500);
  PassEstimates segments(Growth::linear, 1000);
  segments.learn({100, 1}, {1, 0, 600});
  segments.learn({400, 1}, {1, 0, 900});
  EXPECT_DOUBLE_EQ(segments.of({1 << 20, 1}).memory, 1500);
  PassEstimates noisy(Growth::linear);
  noisy.learn({2048, 1}, {1, 0, 1});
  noisy.learn({4096, 1}, {8, 0, 1});
  EXPECT_LT(noisy.of({65536, 1}).seconds, 2 * 8 * 16) << "a linear layer is linear";
  PassEstimates quadratic(Growth::quadratic);
  quadratic.learn({2048, 1}, {1, 0, 1});
  EXPECT_DOUBLE_EQ(quadratic.of({8192, 1}).seconds, 16);
}

// A state that does not arrive, one number that is wrong, a NaN.
TEST(BenchSequence, ChecksNoticeWrongResults) {
  run_thread_world(2, [&](Comm& world) {
    const SequenceBench bench = small_bench();
    const Extent extent{20000, 2};
    const auto alone = make_self_comm();
    const auto one = make_subject(bench.subject, nullptr, *alone, extent);
    const auto many = make_subject(bench.subject, &bench.methods[0], world, extent);
    const SequenceResult expected = many->part_of(one->run_and_keep());
    SequenceResult found = many->run_and_keep();
    EXPECT_LT(difference(found, expected), many->allowed_difference());
    ASSERT_EQ(found.parts.size(), 4u);

    // As if the gradient of no state had come over the border: rank 0 alone on its half.
    const auto half = make_subject(bench.subject, nullptr, *alone, {extent.length / 2, extent.rows});
    if (world.rank() == 0) {
      EXPECT_GT(difference(half->run_and_keep(), expected), 100 * many->allowed_difference());
    }

    float& x = found.parts[3].data<float>()[found.parts[3].count() / 2];
    const float was = x;
    x = was + static_cast<float>(2 * many->allowed_difference() * expected.largest[3]);
    EXPECT_GT(difference(found, expected), many->allowed_difference());
    x = std::nanf("");
    EXPECT_EQ(difference(found, expected), HUGE_VAL);
  });
}

TEST(BenchSequence, ChecksAreAsLongAsOneRankCanAfford) {
  const SequenceBench bench = small_bench();
  const auto alone = make_self_comm();
  SequenceChecks checks(bench.subject, *alone, 1, [] {});
  checks.check(bench.methods[0], checks.least({1 << 20, 1}));
  EXPECT_EQ(checks.longest("lasp2")->at, (Extent{2048, 1}));
  EXPECT_EQ(checks.affordable({4096, 2}), (Extent{4096, 2}));
  const Extent most = checks.affordable({int64_t{1} << 40, 4});
  EXPECT_EQ(most.rows, 1);
  EXPECT_GT(most.length, 4096);
  EXPECT_LT(checks.cost(most).seconds, 10);
}

}  // namespace
}  // namespace og

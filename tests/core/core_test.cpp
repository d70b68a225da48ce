// Pools, tensors, random numbers, threads.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>

#include "framework/core/threads.h"
#include "tests/tensors.h"

namespace og {
namespace {

TEST(Pool, SaysWhatIsHeldWhereMemoryEnds) {
  auto pool = Pool::create(false);
  const auto held = pool->allocate(3 << 20);
  try {
    pool->allocate(int64_t{1} << 60);
    FAIL() << "no machine has so much";
  } catch (const OutOfMemory& e) {
    EXPECT_EQ(e.status(), Status::usage) << "the user's limit";
    EXPECT_NE(std::string(e.what()).find("3.00 MiB are in tensors now and 3.00 MiB held"), std::string::npos)
        << e.what();
  }
  EXPECT_EQ(pool->stats().live_bytes, 3 << 20) << "what was not given is not counted";
  EXPECT_EQ(pool->stats().held_bytes, 3 << 20);
  EXPECT_EQ(pool->stats().peak_bytes, 3 << 20);
}

TEST(Pool, ReusesBlocksOfAClassAndCountsWhatIsLive) {
  auto pool = Pool::create(false);
  { const auto block = pool->allocate(1000); }
  const PoolStats before = pool->stats();
  EXPECT_EQ(before.live_bytes, 0);
  EXPECT_EQ(before.system_calls, 1);
  const auto a = pool->allocate(990);  // the same class
  const auto b = pool->allocate(990);  // the free one is taken
  EXPECT_EQ(pool->stats().system_calls, 2);
  EXPECT_EQ(pool->stats().live_bytes, 2 * Pool::size_class(990));
  EXPECT_EQ(pool->stats().peak_bytes, 2 * Pool::size_class(990));
}

TEST(Pool, SettledServesSmallerSizesFromLargerBlocks) {
  auto pool = Pool::create(false);
  { const auto block = pool->allocate(1024); }
  { const auto smaller = pool->allocate(800); }
  EXPECT_EQ(pool->stats().system_calls, 2);
  pool->settle();
  {
    const auto between = pool->allocate(900);
    EXPECT_EQ(pool->stats().live_bytes, 1024);
    const auto far_smaller = pool->allocate(64);  // not out of a block of more than twice the size
    EXPECT_EQ(pool->stats().system_calls, 3);
  }
  EXPECT_EQ(pool->stats().live_bytes, 0);
}

TEST(Pool, SizeClassesWasteAtMostAnEighthAndAreMultiplesOfALine) {
  for (int64_t bytes : {0, 1, 63, 64, 65, 1000, 4097, 1 << 20, (1 << 20) + 1, 123456789}) {
    const int64_t size = Pool::size_class(bytes);
    EXPECT_GE(size, bytes);
    EXPECT_EQ(size % 64, 0);
    EXPECT_LE(size, std::max<int64_t>(bytes + 64, bytes + bytes / 8 + 64)) << bytes;
  }
}

TEST(Pool, PoisonedMemoryIsNotANumber) {
  auto pool = Pool::create(true);
  const Tensor t = Tensor::empty(*pool, {5}, DType::f32);
  for (int64_t i = 0; i < 5; ++i) EXPECT_TRUE(std::isnan(t.at(i)));
}

TEST(Pool, OutlivesItsOwnerWhileATensorUsesIt) {
  Tensor t;
  {
    Context cx;
    t = Tensor::full(*cx.pool, {3}, DType::f64, 2);
  }
  EXPECT_EQ(t.at(2), 2);
}

TEST(Tensor, SlicesAndReshapesShareMemory) {
  Context cx;
  const Tensor t = random_tensor(cx, {4, 3}, DType::f32, 1);
  const Tensor row = t.slice(2, 3).reshape({3});
  t.data<float>()[7] = 42;
  EXPECT_EQ(row.at(1), 42);
  EXPECT_EQ(t.slice(4, 4).count(), 0);
  EXPECT_THROW(t.slice(3, 5), Error);
  EXPECT_THROW(t.reshape({5}), Error);
  EXPECT_THROW(t.data<double>(), Error);
}

TEST(Philox, MatchesThePublishedTestVector) {
  // Random123, philox4x32-10: counter and key all zero.
  const auto r = philox(0, 0);
  EXPECT_EQ(r[0], 0x6627e8d5U);
  EXPECT_EQ(r[1], 0xe169c58dU);
  EXPECT_EQ(r[2], 0xbc57ac4cU);
  EXPECT_EQ(r[3], 0x9b00dbd8U);
}

TEST(Random, HasTheMomentsItPromises) {
  const RandomKey key = random_key(7, "moments");
  double sum = 0, squares = 0, uniform = 0;
  constexpr int64_t kCount = 200000;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double x = random_normal(key, i);
    sum += x;
    squares += x * x;
    uniform += random_uniform(key, i);
    ASSERT_LT(random_below(key, i, 10), 10U);
  }
  // Five standard errors.
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(uniform / kCount, 0.5, 5 * std::sqrt(1.0 / 12 / kCount));
  EXPECT_NE(random_key(7, "a"), random_key(7, "b"));
  EXPECT_NE(random_key(7, "a"), random_key(8, "a"));
}

TEST(ParallelFor, SmallWorkStaysWithItsCaller) {
  int calls = 0;
  parallel_for(4, 7, 8, [&](int64_t begin, int64_t end) {
    calls += 1;
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 7);
  });
  EXPECT_EQ(calls, 1);
}

TEST(ParallelFor, CoversEveryItemOnceAndRethrows) {
  for (int64_t n : {0, 1, 2, 7, 1000}) {
    std::vector<int> hits(static_cast<size_t>(n), 0);
    parallel_for(2, n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) hits[static_cast<size_t>(i)] += 1;
    });
    for (size_t i = 0; i < hits.size(); ++i) EXPECT_EQ(hits[i], 1) << "item " << i << " of " << n;
  }
  EXPECT_THROW(parallel_for(2, 100, 1, [](int64_t, int64_t end) { OG_CHECK(end != 100, "last piece"); }), Error);
}

}  // namespace
}  // namespace og

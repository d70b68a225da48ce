// Counts and positions of choices: against sorting, against numbers worked out by hand; nothing is read of outputs.
#include "framework/kernels/route.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "framework/ops/route.h"
#include "tests/tensors.h"

namespace og {
namespace {

struct Size {
  int64_t n, e, k;
};

Tensor ints(Context& cx, const Shape& shape, const std::vector<int32_t>& values) {
  const Tensor t = cx.empty(shape, DType::i32);
  std::copy(values.begin(), values.end(), t.data<int32_t>());
  return t;
}

// K different experts of each token, lowest first, of which one in `one_in` is dropped (0: none).
Tensor random_choices(Context& cx, const Size& size, int64_t one_in) {
  const Tensor experts = cx.empty({size.n, size.k}, DType::i32);
  for (int64_t n = 0; n < size.n; ++n) {
    std::vector<int32_t> ids(static_cast<size_t>(size.e));
    std::iota(ids.begin(), ids.end(), 0);
    const auto key = [n](int32_t id) { return philox(1, static_cast<uint64_t>(n * 1000 + id)); };
    std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return key(a) < key(b); });
    std::sort(ids.begin(), ids.begin() + size.k);
    for (int64_t j = 0; j < size.k; ++j) {
      const int64_t i = n * size.k + j;
      const int32_t id = ids[static_cast<size_t>(j)];
      experts.data<int32_t>()[i] = one_in > 0 && i % one_in == 1 ? ~id : id;
    }
  }
  return experts;
}

class Route : public testing::TestWithParam<Size> {};

TEST_P(Route, RowsLeaveByExpertThenToken) {
  const Size size = GetParam();
  Context cx;
  const RouteKernels& kernels = route_kernels(cx.stream);
  for (const int64_t one_in : {0, 3}) {
    const Tensor experts = random_choices(cx, size, one_in);
    std::vector<int64_t> kept;  // choices that have a row, in the order of rows
    for (int64_t i = 0; i < experts.count(); ++i)
      if (experts.data<int32_t>()[i] >= 0) kept.push_back(i);
    std::stable_sort(kept.begin(), kept.end(),
                     [&](int64_t a, int64_t b) { return experts.data<int32_t>()[a] < experts.data<int32_t>()[b]; });
    const Tensor counts = cx.empty({1, size.e}, DType::i32), begin = cx.empty({size.e + 1}, DType::i64),
                 slots = cx.empty(experts.shape(), DType::i32), token = cx.empty({experts.count()}, DType::i32);
    kernels.count_kept(cx.stream, counts.flat<int32_t>(), experts.view<const int32_t, 2>());
    kernels.borders(cx.stream, begin.view<int64_t, 1>(), counts.view<const int32_t, 2>());
    EXPECT_EQ(begin.at(0), 0);
    EXPECT_EQ(begin.at(size.e), std::ssize(kept));
    const Tensor next = begin.slice(0, size.e).clone(*cx.pool);
    kernels.place(cx.stream, slots.view<int32_t, 2>(), token.view<int32_t, 1>(), next.view<int64_t, 1>(),
                  experts.view<const int32_t, 2>());
    EXPECT_TRUE(same_bits(next, begin.slice(1, size.e + 1)));
    int64_t placed = 0;
    for (int64_t i = 0; i < slots.count(); ++i) placed += slots.at(i) >= 0 ? 1 : 0;
    EXPECT_EQ(placed, std::ssize(kept));
    for (int64_t m = 0; m < token.count(); ++m) {
      const int64_t choice = m < placed ? kept[static_cast<size_t>(m)] : -1;
      EXPECT_EQ(token.at(m), choice < 0 ? -1 : choice / size.k) << m;
      if (choice >= 0) {
        EXPECT_EQ(slots.at(choice), m);
      }
    }
  }
}

TEST_P(Route, CountsOfRowsAreThoseOfTheirTokens) {
  const Size size = GetParam();
  Context cx;
  const Tensor experts = random_choices(cx, size, 4);
  const TokenRows rows{.first = 2, .per_row = 5};
  const int64_t num_rows = rows(std::max<int64_t>(1, size.n) - 1) + 1;
  const Tensor counts = count_choices(cx, experts, rows, num_rows, size.e);
  std::vector<int32_t> expected(static_cast<size_t>(num_rows * size.e), 0);
  for (int64_t i = 0; i < experts.count(); ++i)
    expected[static_cast<size_t>(rows(i / size.k) * size.e + expert_id(experts.data<int32_t>()[i]))] += 1;
  EXPECT_TRUE(same_bits(counts, ints(cx, counts.shape(), expected)));
  const Tensor loads = Tensor::full(*cx.pool, {size.e}, DType::i64, 7);
  add_loads(cx.stream, loads, counts);
  int64_t sum = 0, most = 0;
  for (int64_t e = 0; e < size.e; ++e) {
    const auto load = static_cast<int64_t>(loads.at(e)) - 7;
    sum += load;
    most = std::max(most, load);
  }
  EXPECT_EQ(sum, experts.count());
  const double figure = max_over_mean(cx, counts).at(0);
  if (sum == 0) {
    EXPECT_EQ(figure, 1);
  } else {
    EXPECT_NEAR(figure * static_cast<double>(sum), static_cast<double>(most * size.e), 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Route,
                         testing::Values(Size{1, 1, 1}, Size{7, 3, 2}, Size{300, 64, 8}, Size{65, 17, 17},
                                         Size{0, 4, 2}, Size{33, 5, 1}));

TEST(RouteCounts, AreSummedOverRanksAndShardsAndSpreadOverShards) {
  Context cx;
  // 2 ranks, 2 rows of the batch in 2 shards, 3 experts: 100 p + 10 (2 b + s) + e.
  const Tensor counts = cx.empty({2, 2, 2, 3}, DType::i32);
  for (int64_t i = 0; i < 24; ++i)
    counts.data<int32_t>()[i] = static_cast<int32_t>(100 * (i / 12) + 10 * (i / 3 % 4) + i % 3);
  EXPECT_TRUE(same_bits(sum_counts(cx, counts), ints(cx, {2, 3}, {220, 224, 228, 300, 304, 308})));
  const Tensor rows = ints(cx, {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  add_counts(cx.stream, rows, ints(cx, {2, 2}, {10, 20, 30, 40}));
  EXPECT_TRUE(same_bits(rows, ints(cx, {4, 2}, {11, 22, 13, 24, 35, 46, 37, 48})));
}

TEST(RouteDrops, WhoComesLastToAnExpertOfARow) {
  Context cx;
  // Two tokens a row; experts 0, 1, 2 of which row 0 has taken 1, 0, 2 and row 1 has taken 0, 1, 0 before.
  const Tensor experts = ints(cx, {4, 2}, {0, 1, 0, 2, 1, 2, 1, 2}), taken = ints(cx, {2, 3}, {1, 0, 2, 0, 1, 0});
  const Tensor dropped = drop_over_capacity(cx, experts, {.first = 0, .per_row = 2}, taken, 2);
  EXPECT_TRUE(same_bits(experts, ints(cx, {4, 2}, {0, 1, ~0, ~2, 1, 2, ~1, 2})));
  EXPECT_TRUE(same_bits(taken, ints(cx, {2, 3}, {3, 1, 3, 0, 3, 2})));
  EXPECT_EQ(dropped.at(0), 3);
  EXPECT_EQ(drop_over_capacity(cx, cx.empty({0, 2}, DType::i32), {}, taken, 2).at(0), 0);
}

TEST(RouteArrival, IsByExpertThenSource) {
  Context cx;
  const RouteKernels& kernels = route_kernels(cx.stream);
  // From 3 ranks, for 2 experts: rows 0..1 and 2, none and 3..5, 6 and none.
  const Tensor counts = ints(cx, {3, 2}, {2, 1, 0, 3, 1, 0});
  const Tensor arrival = cx.empty({7}, DType::i32), departure = cx.empty({7}, DType::i32),
               begin = cx.empty({3}, DType::i64);
  kernels.arrive(cx.stream, arrival.view<int32_t, 1>(), departure.view<int32_t, 1>(), counts.view<const int32_t, 2>());
  kernels.borders(cx.stream, begin.view<int64_t, 1>(), counts.view<const int32_t, 2>());
  EXPECT_TRUE(same_bits(arrival, ints(cx, {7}, {0, 1, 6, 2, 3, 4, 5})));
  EXPECT_TRUE(same_bits(departure, ints(cx, {7}, {0, 1, 3, 4, 5, 6, 2})));
  const int64_t borders[] = {0, 3, 7};
  for (int64_t e : {0, 1, 2}) EXPECT_EQ(begin.at(e), borders[e]);
}

}  // namespace
}  // namespace og

// The cost model behind `auto`: what is cheapest where, and what is left out.
#include "parallel/sequence/cost.h"

#include <gtest/gtest.h>

#include <cmath>

namespace og {
namespace {

LinearMethod best(const GroupLinks& links, const LayerTraffic& layer) {
  int found = 0;
  for (int m = 1; m < static_cast<int>(std::size(kLinearMethods)); ++m)
    if (method_seconds(static_cast<LinearMethod>(m), links, layer) <
        method_seconds(static_cast<LinearMethod>(found), links, layer))
      found = m;
  return static_cast<LinearMethod>(found);
}

TEST(MethodCost, StatesBeatStreamsAtEveryLength) {
  const GroupLinks links{.ranks = 4, .hosts = 4};
  for (double tokens : {1e3, 1e5, 1e7}) {
    const LayerTraffic layer{.summary_bytes = 64e3, .stream_bytes = 2e3 * tokens, .key_bytes = 1e3 * tokens};
    const double states = method_seconds(LinearMethod::lasp2, links, layer);
    for (LinearMethod m : {LinearMethod::ring, LinearMethod::ulysses, LinearMethod::megatron})
      EXPECT_LT(states, method_seconds(m, links, layer)) << name_of(m);
  }
}

TEST(MethodCost, FewRanksGatherManyHostsExchangeInLevels) {
  const LayerTraffic layer{.summary_bytes = 16e3, .stream_bytes = 64e6, .key_bytes = 32e6};
  EXPECT_EQ(best({.ranks = 2}, layer), LinearMethod::lasp2);
  EXPECT_EQ(best({.ranks = 64, .hosts = 8}, layer), LinearMethod::hierarchical);
  // Where every rank is a host of its own there is nothing to gain inside.
  EXPECT_EQ(best({.ranks = 64, .hosts = 64}, layer), LinearMethod::scan);
}

TEST(MethodCost, LocalWorkHidesWhatStatesTakeAndNoStreamsOfHeads) {
  LayerTraffic layer{.summary_bytes = 256e3, .stream_bytes = 1e6, .key_bytes = 1e6, .local_seconds = 1};
  const GroupLinks links{.ranks = 16, .hosts = 2};
  for (LinearMethod m : {LinearMethod::lasp2, LinearMethod::lasp1, LinearMethod::zeco, LinearMethod::scan,
                         LinearMethod::hierarchical, LinearMethod::ring})
    EXPECT_EQ(method_seconds(m, links, layer), 0) << name_of(m);
  for (LinearMethod m : {LinearMethod::ulysses, LinearMethod::megatron})
    EXPECT_GT(method_seconds(m, links, layer), 0) << name_of(m);
  layer.local_seconds = 1e-6;
  EXPECT_GT(method_seconds(LinearMethod::lasp1, links, layer), method_seconds(LinearMethod::zeco, links, layer));
}

TEST(MethodCost, SoftmaxIsBalancedByHeadsOrByOrder) {
  const GroupLinks links{.ranks = 4};
  LayerTraffic layer{.stream_bytes = 4e6, .key_bytes = 1e6, .local_seconds = 0.1};
  const auto cost = [&](SoftmaxMethod m, SequenceOrder order) { return method_seconds(m, links, layer, order); };
  EXPECT_LT(cost(SoftmaxMethod::ulysses, SequenceOrder::contiguous),
            cost(SoftmaxMethod::all_gather_kv, SequenceOrder::contiguous));
  EXPECT_LT(cost(SoftmaxMethod::all_gather_kv, SequenceOrder::zigzag),
            cost(SoftmaxMethod::all_gather_kv, SequenceOrder::contiguous));
  EXPECT_TRUE(std::isinf(cost(SoftmaxMethod::ulysses, SequenceOrder::zigzag)));
  layer.whole_heads = false;
  EXPECT_TRUE(std::isinf(cost(SoftmaxMethod::ulysses, SequenceOrder::contiguous)));
}

}  // namespace
}  // namespace og

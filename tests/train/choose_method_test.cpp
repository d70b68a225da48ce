// What `auto` chooses, and what it says about it.
#include "framework/train/choose_method.h"

#include <gtest/gtest.h>

namespace og {
namespace {

SequenceChoice choose(const GroupLinks& links, const std::vector<std::string>& overrides = {},
                      const std::string& mixer = "type: gla") {
  const std::string kText = R"(
model:
  hidden_size: 1024
  num_hidden_layers: 2
  layer_pattern: LN
  channel_pattern: P
  mixers:
    L: {)" + mixer + R"(, num_heads: 8, head_k_dim: 128, head_v_dim: 128}
    N: {type: attention, num_attention_heads: 8, num_key_value_heads: 8, head_dim: 128}
  channels:
    P: {type: mlp, intermediate_size: 1024}
data: {train: [none.txt], sequence_length: 4096}
train: {tokens_per_step: 4096}
)";
  return choose_sequence_methods(parse_config(kText, "test", overrides, config_rules()), 1, links);
}

void expect_linear(const std::string& method, const GroupLinks& links, const std::vector<std::string>& overrides = {}) {
  const SequenceChoice choice = choose(links, overrides);
  EXPECT_EQ(name_of(choice.options.linear), method) << choice.reason;
}

TEST(SequenceChoice, OneRankHasNothingToChoose) {
  EXPECT_EQ(choose({.ranks = 1}).reason, "");
  EXPECT_EQ(choose({.ranks = 1}).costs, "");
}

TEST(SequenceChoice, WhatIsHiddenIsNoTime) {
  const SequenceChoice choice = choose({.ranks = 2});
  EXPECT_TRUE(choice.costs.starts_with("  estimated wait of a linear layer for other ranks: lasp2 none, lasp1 none, "))
      << choice.costs;
  EXPECT_EQ(choice.reason.find("estimated"), std::string::npos) << choice.reason;
}

// Two tokens a rank hide nothing; a message takes 30 us and there are two.
TEST(SequenceChoice, SmallCostsHaveAUnitInWhichTheyAreSeen) {
  const SequenceChoice choice =
      choose({.ranks = 8, .hosts = 8}, {"data.sequence_length=16", "train.tokens_per_step=16"});
  EXPECT_TRUE(choice.costs.starts_with("  estimated wait of a linear layer for other ranks: ulysses ")) << choice.costs;
  const std::string linear = choice.costs.substr(0, choice.costs.find('\n'));
  EXPECT_NE(linear.find(" us, "), std::string::npos) << linear;
  EXPECT_EQ(linear.find("none"), std::string::npos) << linear;
}

TEST(SequenceChoice, StatesThatHideAreGathered) {
  expect_linear("lasp2", {.ranks = 4});
  expect_linear("lasp2", {.ranks = 8, .hosts = 2}, {"data.sequence_length=1048576", "train.tokens_per_step=1048576"});
}

TEST(SequenceChoice, SmallStatesOfManyHostsGoInLevelsLargeOnesDownAChain) {
  expect_linear("hierarchical", {.ranks = 64, .hosts = 8},
                {"data.sequence_length=65536", "train.tokens_per_step=65536", "model.mixers.L.num_heads=1",
                 "model.mixers.L.head_k_dim=64", "model.mixers.L.head_v_dim=64"});
  expect_linear("zeco", {.ranks = 3, .hosts = 3},
                {"data.sequence_length=96", "train.tokens_per_step=96", "model.mixers.L.num_heads=64"});
}

TEST(SequenceChoice, OfAFewTokensTheStreamsAreLessThanTheStates) {
  expect_linear("ulysses", {.ranks = 8, .hosts = 8}, {"data.sequence_length=64", "train.tokens_per_step=64"});
}

TEST(SequenceChoice, WhatTheConfigNamesIsKept) {
  const SequenceChoice choice = choose({.ranks = 64, .hosts = 8}, {"parallel.sequence_method=scan"});
  EXPECT_EQ(name_of(choice.options.linear), std::string("scan"));
  EXPECT_EQ(choice.reason.find("linear layers"), std::string::npos) << choice.reason;
  EXPECT_EQ(choice.costs.find("linear layer"), std::string::npos) << choice.costs;
}

// Hedgehog doubles the keys: what 8 heads of hedgehog at K = 128 send is what 8 heads of K = 256 send.
TEST(SequenceChoice, StatesAreCountedAsWideAsTheyAre) {
  const GroupLinks links{.ranks = 3, .hosts = 3};
  const std::string hedgehog = "type: linear, feature_map: hedgehog";
  const std::vector<std::string> few{"data.sequence_length=96", "train.tokens_per_step=96"};  // nothing to hide behind
  std::vector<std::string> wide = few;
  wide.emplace_back("model.mixers.L.head_k_dim=256");
  const std::string costs = choose(links, few, hedgehog).costs;
  EXPECT_NE(costs, choose(links, few, "type: linear").costs);
  EXPECT_EQ(costs, choose(links, wide, "type: linear").costs);
}

TEST(SequenceChoice, HeadsThatDoNotDivideLeaveUlyssesOut) {
  EXPECT_EQ(name_of(choose({.ranks = 4}).options.softmax), std::string("ulysses"));
  const SequenceChoice choice = choose({.ranks = 3});
  EXPECT_NE(name_of(choice.options.softmax), std::string("ulysses"));
  EXPECT_NE(choice.reason.find("sequence over 3 ranks on 1 host: linear layers by lasp2, softmax layers by "),
            std::string::npos)
      << choice.reason;
  EXPECT_EQ(choice.costs.find("ulysses", choice.costs.find("softmax")), std::string::npos) << choice.costs;
}

}  // namespace
}  // namespace og

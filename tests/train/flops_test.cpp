// Model FLOPs of a small hybrid, counted by hand; hidden 16, vocabulary 257, rows of 4 tokens.
#include "framework/train/flops.h"

#include <gtest/gtest.h>

#include "framework/train/session.h"

namespace og {
namespace {

ModelFlops flops_of(const std::string& mixer, const std::string& channel) {
  const std::string text =
      "model: {vocab_size: 257, hidden_size: 16, num_hidden_layers: 1, layer_pattern: M, "
      "channel_pattern: C, mixers: {M: {" +
      mixer + "}}, channels: {C: {" + channel +
      "}}}\n"
      "data: {train: [none.txt], sequence_length: 4}\ntrain: {tokens_per_step: 4, precision: f64}\n";
  const auto self = make_self_comm();
  Session session(parse_config(text, "test", {}, config_rules()), *self, {}, Weights::shapes);
  return flops_per_token(session.model(), session.store(), 4);
}

constexpr const char* kMlp = "type: mlp, intermediate_size: 24";
constexpr double kMlpProducts = 2 * 3 * 16 * 24;
const std::string kHeads = ", num_heads: 2, head_k_dim: 4, head_v_dim: 8";

// q and k 16 x 8, v, gate and output 16 x 16; GLA's gate 16 x 3 and 3 x 8.
TEST(ModelFlops, ProductsAndStatesOfARecurrence) {
  const ModelFlops gla = flops_of("type: gla, gate_low_rank_dim: 3" + kHeads, kMlp);
  EXPECT_EQ(gla.products, 2 * (2 * 16 * 8 + 3 * 16 * 16 + 16 * 3 + 3 * 8) + kMlpProducts);
  EXPECT_EQ(gla.mixers, 2 * 4 * 4 * 8);
  EXPECT_EQ(gla.head, 2 * 257 * 16);
  EXPECT_EQ(gla.attention + gla.experts, 0);
}

// Hedgehog's maps are products, two 4 x 4 a head; K' = 8, V' = 9.
TEST(ModelFlops, MapsAreProductsAndWidenTheStates) {
  const ModelFlops f = flops_of("type: linear, feature_map: hedgehog, normalize: true" + kHeads, kMlp);
  EXPECT_EQ(f.products, 2 * (2 * 16 * 8 + 3 * 16 * 16 + 2 * 2 * 4 * 4) + kMlpProducts);
  EXPECT_EQ(f.mixers, 2 * 4 * 8 * 9);
}

// No output gate; beta 16 x 2; convolutions are no products.
TEST(ModelFlops, DeltaRule) {
  const ModelFlops f = flops_of("type: delta_net" + kHeads, kMlp);
  EXPECT_EQ(f.products, 2 * (2 * 16 * 8 + 2 * 16 * 16 + 16 * 2) + kMlpProducts);
  EXPECT_EQ(f.mixers, 2 * 6 * 4 * 8);
}

// One key head of two; 2.5 keys on average. Two experts of four and a shared one, router 16 x 4.
TEST(ModelFlops, SoftmaxAndExperts) {
  const ModelFlops f = flops_of("type: attention, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8",
                                "type: moe, num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 12, "
                                "num_shared_experts: 1");
  EXPECT_EQ(f.attention, 4 * 2 * 8 * 2.5);
  EXPECT_EQ(f.experts, 2 * 2 * 3 * 16 * 12);
  EXPECT_EQ(f.products, 2 * (2 * 16 * 16 + 2 * 16 * 8 + 16 * 4 + 3 * 16 * 12));
  EXPECT_EQ(f.mixers, 0);
}

}  // namespace
}  // namespace og

// Whole models: what a token's output may depend on, bit for bit, for every mixer at several layouts; decoding against
// prefill.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <iterator>
#include <span>

#include "framework/config/config.h"
#include "models/decoder.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

constexpr int64_t kLength = 37, kVocab = 29;

struct Case {
  const char* name;
  const char* mixer;
  const char* pattern = "X";  // X: the mixer, N: softmax attention, W: a sliding window
};

const Case kCases[] = {
    {"linear", "{type: linear, num_heads: 2, head_k_dim: 8, head_v_dim: 8}"},
    {"normalised",
     "{type: linear, num_heads: 2, head_k_dim: 8, head_v_dim: 8, feature_map: elu_plus_one, normalize: true}"},
    {"hedgehog", "{type: linear, num_heads: 2, head_k_dim: 8, head_v_dim: 8, feature_map: hedgehog, normalize: true}"},
    {"retention", "{type: retention, num_heads: 2, head_k_dim: 8, head_v_dim: 8}"},
    {"lightning", "{type: lightning, num_heads: 2, head_k_dim: 8, head_v_dim: 8}"},
    {"simple_gla", "{type: simple_gla, num_heads: 2, head_k_dim: 8, head_v_dim: 8}"},
    {"mamba2", "{type: mamba2, num_heads: 2, head_k_dim: 8, head_v_dim: 8}"},
    {"gla", "{type: gla, num_heads: 2, head_k_dim: 8, head_v_dim: 8}"},
    {"hgrn2", "{type: hgrn2, num_heads: 2, head_k_dim: 8, head_v_dim: 8}"},
    {"delta_net", "{type: delta_net, num_heads: 2, head_k_dim: 8, head_v_dim: 8}"},
    {"gated_delta_net", "{type: gated_delta_net, num_heads: 2, head_k_dim: 8, head_v_dim: 8}"},
    {"attention", "{type: attention, num_attention_heads: 2, num_key_value_heads: 2, head_dim: 8}"},
    {"window", "{type: attention, num_attention_heads: 2, num_key_value_heads: 2, head_dim: 8, sliding_window: 6}"},
    {"hybrid", "{type: gated_delta_net, num_heads: 2, head_k_dim: 8, head_v_dim: 8}", "XNWX"},
};

ModelConfig model_config(const Case& c, bool experts) {
  const std::string text = fmt::format(
      "model:\n  hidden_size: 16\n  num_hidden_layers: {}\n  layer_pattern: {}\n  channel_pattern: {}\n"
      "  initializer_range: 0.3\n"
      "  mixers: {{X: {}, N: {{type: attention, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8}}, "
      "W: {{type: attention, num_attention_heads: 2, num_key_value_heads: 2, head_dim: 8, sliding_window: 6}}}}\n"
      "  channels: {{P: {{type: mlp, intermediate_size: 24}}, M: {{type: moe, num_experts: 4, num_experts_per_tok: 2, "
      "moe_intermediate_size: 16}}}}\n"
      "data: {{sequence_length: 64}}\ntrain: {{tokens_per_step: 64}}\n",
      std::max<size_t>(2, std::strlen(c.pattern)), c.pattern, experts ? "M" : "P", c.mixer);
  ModelConfig config = parse_config(text, "test", {}, config_rules()).model;
  config.vocab_size = kVocab;
  return config;
}

struct Row {
  std::vector<int32_t> tokens, starts;
};

// Documents of these lengths, filled with tokens drawn from the key of each.
Row pack(const std::vector<std::pair<int64_t, uint64_t>>& documents) {
  Row row;
  for (const auto& [length, key] : documents) {
    const auto start = static_cast<int32_t>(row.tokens.size());
    for (int64_t t = 0; t < length; ++t) {
      row.tokens.push_back(static_cast<int32_t>(random_below(key, static_cast<uint64_t>(t), kVocab)));
      row.starts.push_back(start);
    }
  }
  return row;
}

// Hidden states [T, D] of this rank's piece of the row, after all layers, in f32 with the processor's kernels.
struct Model {
  Context cx;
  Mesh mesh;
  ParameterStore store;
  HybridLM model;

  Model(Comm& comm, const Degrees& degrees, const Case& c, bool experts)
      : mesh(comm, degrees), store(cx, mesh, DType::f32, 3), model(store, model_config(c, experts)) {}

  Tensor hidden(const Row& row, int64_t& begin) {
    const auto length = static_cast<int64_t>(row.tokens.size());
    const Tensor starts = cx.empty({1, length}, DType::i32);
    std::copy(row.starts.begin(), row.starts.end(), starts.data<int32_t>());
    const SeqContext seq = make_seq_context(*cx.pool, mesh.sequence(), 1, length, starts);
    begin = seq.begin();
    const Tensor tokens = cx.empty({1, seq.local_length()}, DType::i32);
    std::copy_n(row.tokens.begin() + begin, seq.local_length(), tokens.data<int32_t>());
    Tape tape(cx, Tape::Mode::no_gradient);
    StepContext step{tape, mesh, seq, 1, false};
    SideOutputs side;
    const Tensor h = model.hidden(step, tokens, nullptr, side).tensor();
    return h.reshape({h.size(1), h.size(2)});
  }
};

// Tokens of [first, last) of the row whose outputs differ in any bit, on this rank.
int64_t different_tokens(const Tensor& a, const Tensor& b, int64_t begin, int64_t first, int64_t last) {
  int64_t count = 0;
  for (int64_t t = 0; t < a.size(0); ++t)
    if (begin + t >= first && begin + t < last) count += !same_bits(a.slice(t, t + 1), b.slice(t, t + 1));
  return count;
}

const Degrees kLayouts[] = {{}, {.sequence = 2}, {.sequence = 5}, {.tensor = 2}, {.sequence = 2, .tensor = 2}};

class Models : public testing::TestWithParam<Case> {};

TEST_P(Models, LaterTokensChangeNoBit) {
  for (const Degrees& degrees : kLayouts)
    world(degrees.world(), [&](Comm& comm) {
      Model model(comm, degrees, GetParam(), false);
      const Row row = pack({{kLength, 1}});
      int64_t begin = 0, changed_somewhere = 0;
      const Tensor truth = model.hidden(row, begin);
      for (int64_t t : {1, 8, 19, 36}) {
        Row other = row;
        auto& token = other.tokens[static_cast<size_t>(t)];
        token = static_cast<int32_t>((token + 1) % kVocab);
        const Tensor h = model.hidden(other, begin);
        EXPECT_EQ(different_tokens(h, truth, begin, 0, t), 0) << "token " << t << ", rank " << comm.rank();
        changed_somewhere += different_tokens(h, truth, begin, t, kLength);
      }
      EXPECT_GT(comm.sum(static_cast<double>(changed_somewhere), Sites::test), 0);
    });
}

TEST_P(Models, ANeighboursContentChangesNoBit) {
  for (const Degrees& degrees : kLayouts)
    world(degrees.world(), [&](Comm& comm) {
      Model model(comm, degrees, GetParam(), false);
      int64_t begin = 0;
      const Tensor truth = model.hidden(pack({{7, 1}, {1, 2}, {12, 3}, {17, 4}}), begin);
      const Tensor other = model.hidden(pack({{7, 1}, {1, 2}, {12, 33}, {17, 4}}), begin);
      EXPECT_EQ(different_tokens(other, truth, begin, 0, 8) + different_tokens(other, truth, begin, 20, kLength), 0)
          << comm.rank();
    });
}

TEST_P(Models, WithExpertsNeighboursMoveOutputsByRoundingOnly) {
  for (const Degrees& degrees : {Degrees{}, Degrees{.sequence = 2, .expert = 2}})
    world(degrees.world(), [&](Comm& comm) {
      Model model(comm, degrees, GetParam(), true);
      int64_t begin = 0;
      const Tensor truth = model.hidden(pack({{7, 1}, {13, 3}, {17, 4}}), begin);
      const Tensor other = model.hidden(pack({{7, 1}, {13, 33}, {17, 4}}), begin);
      for (int64_t t = 0; t < truth.size(0); ++t)
        if (begin + t < 7 || begin + t >= 20) {
          EXPECT_LT(distance(other.slice(t, t + 1), truth.slice(t, t + 1)), 1e-5) << begin + t;
        }
    });
  // A neighbour of another length: the third document stands elsewhere in the row.
  const auto self = make_self_comm();
  Model model(*self, {}, GetParam(), true);
  int64_t begin = 0;
  const Tensor truth = model.hidden(pack({{7, 1}, {13, 3}, {17, 4}}), begin);
  const Tensor moved = model.hidden(pack({{7, 1}, {4, 3}, {17, 4}, {9, 5}}), begin);
  EXPECT_LT(distance(moved.slice(11, 28), truth.slice(20, 37)), 1e-5);
}

// A step of decoding is too small for a second thread: nothing is woken, and none is there to wait and spin.
TEST_P(Models, ATokenIsDecodedOnOneThread) {
  const auto threads = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
  };
  const auto self = make_self_comm();
  Model model(*self, {}, GetParam(), true);
  const auto before = threads();
  Decoder decoder(model.cx, model.mesh, model.model);
  // A number that no other test uses: OpenMP adds to the threads that it has for the asker.
  model.cx.stream.num_threads = static_cast<int>(before) + 3;
  for (int32_t token : {1, 2, 3}) decoder.read(std::span(&token, 1));
  EXPECT_EQ(threads(), before);
}

TEST_P(Models, DecodingGivesThePrefillsLogits) {
  for (bool experts : {false, true}) {
    const auto self = make_self_comm();
    Model model(*self, {}, GetParam(), experts);
    const Row row = pack({{kLength, 1}});
    int64_t begin = 0;
    const Tensor hidden = model.hidden(row, begin);
    Tape tape(model.cx, Tape::Mode::no_gradient);
    const SeqContext seq = make_seq_context(*model.cx.pool, *self, 1, kLength, {});
    StepContext step{tape, model.mesh, seq, 1, false};
    const Placement tokens{{Axis::data, Place::varying}, {Axis::sequence, Place::varying}};
    const Tensor logits = model.model.logits(step, Value(hidden, tokens));
    Decoder decoder(model.cx, model.mesh, model.model);
    Tensor last = decoder.read(std::span(row.tokens).first(5));
    EXPECT_LT(distance(last, logits.slice(4, 5).reshape({kVocab})), 1e-4);
    for (int64_t t = 5; t < kLength; ++t) {
      last = decoder.read(std::span(row.tokens).subspan(static_cast<size_t>(t), 1));
      EXPECT_LT(distance(last, logits.slice(t, t + 1).reshape({kVocab})), 1e-4) << "token " << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Models, testing::ValuesIn(kCases), [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace og

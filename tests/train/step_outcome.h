// Whole optimizer steps of a tiny hybrid mixture-of-experts model in f64 with the reference kernels: what tests of
// layouts, segments and pipelines hold against one rank.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "framework/config/config.h"
#include "framework/train/step.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {

inline constexpr const char* kStepConfig = R"(
model:
  hidden_size: 16
  num_hidden_layers: 4
  layer_pattern: GDNS
  channel_pattern: MP
  mixers:
    G: {type: gla, num_heads: 4, head_k_dim: 4, head_v_dim: 4}
    D: {type: gated_delta_net, num_heads: 4, head_k_dim: 4, head_v_dim: 4}
    N: {type: attention, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 4}
    S: {type: mamba2, num_heads: 4, head_k_dim: 4, head_v_dim: 4}
  channels:
    M: {type: moe, num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: 8, num_shared_experts: 1}
    P: {type: mlp, intermediate_size: 24}
data: {train: [none.txt], sequence_length: 13}
train: {tokens_per_step: 104, micro_batch_size: 1}
)";

inline Config tiny(const std::vector<std::string>& overrides) {
  Config config = parse_config(kStepConfig, "test", overrides, config_rules());
  config.model.vocab_size = 29;
  return config;
}

// Rows of random documents, a function of the row's number alone.
inline Batch make_rows(Pool& pool, int64_t first, int64_t count, int64_t length) {
  Batch b{Tensor::empty(pool, {count, length}, DType::i32), Tensor::empty(pool, {count, length}, DType::i32),
          Tensor::empty(pool, {count, length}, DType::i32), 0};
  for (int64_t r = 0; r < count; ++r) {
    const RandomKey key = random_key(static_cast<uint64_t>(first + r), "row");
    int64_t start = 0;
    for (int64_t t = 0; t < length; ++t) {
      if (random_below(key, static_cast<uint64_t>(t), 5) == 0) start = t;
      const bool ends = random_below(key, static_cast<uint64_t>(t + 1), 5) == 0;
      const int64_t i = r * length + t;
      b.starts_BT.data<int32_t>()[i] = static_cast<int32_t>(start);
      b.tokens_BT.data<int32_t>()[i] = static_cast<int32_t>(random_below(key, static_cast<uint64_t>(100 + t), 29));
      b.targets_BT.data<int32_t>()[i] =
          ends ? -1 : static_cast<int32_t>(random_below(key, static_cast<uint64_t>(101 + t), 29));
      b.valid_tokens += !ends;
    }
  }
  return b;
}

struct Outcome {
  std::vector<StepResult> steps;
  std::vector<CollectiveCount> counts;
  double eval_loss = 0;
  int64_t peak_bytes = 0;
  int64_t host_reads = 0;  // in the last step
};

// How often a collective ran at a site in the last step.
inline int64_t calls(const Outcome& o, Site site, Verb verb) {
  int64_t n = 0;
  for (const CollectiveCount& c : o.counts)
    if (c.site == site && c.verb == verb) n += c.calls;
  return n;
}

inline Outcome run(Comm& comm, const Degrees& degrees, int64_t num_steps, bool recompute = false, int64_t micro = 1,
                   const std::vector<std::string>& overrides = {}) {
  const Config config = tiny(overrides);
  Context cx;
  comm.profile = &cx.profile;
  cx.stream.backend = Backend::ref;
  Mesh mesh(comm, degrees);
  mesh.sequence_norms = config.parallel.sequence_norms;
  mesh.virtual_stages = config.parallel.virtual_stages;
  mesh.sequence_options = config.parallel.sequence_options();
  ParameterStore store(cx, mesh, DType::f64, 3);
  HybridLM model(store, config.model);
  AdamW optimizer(store, {}, config.optimizer_sharding());
  TrainStep step(model, optimizer,
                 {.rows = {.rows_in_step = 8, .segment_length = config.train.segment_length, .recompute = recompute},
                  .micro_batch_size = micro,
                  .max_grad_norm = 1.0});
  const RowSource rows = [&](int64_t first, int64_t count) {
    return make_rows(*cx.pool, first, count, config.data.sequence_length);
  };
  Outcome out;
  for (int64_t s = 0; s < num_steps; ++s) {
    comm.counters().reset();
    const int64_t reads = cx.host_reads;
    out.steps.push_back(step.run(s + 1, s * 8, rows, 1e-2, false));
    out.host_reads = cx.host_reads - reads;
    out.counts = comm.counters().rows();
  }
  out.eval_loss = evaluate_rows(model, 5, 1, config.train.segment_length, rows, false).loss();
  out.peak_bytes = cx.pool->stats().peak_bytes;
  return out;
}

inline void expect_same(const Outcome& found, const Outcome& truth, double bound, const std::string& what) {
  ASSERT_EQ(found.steps.size(), truth.steps.size());
  for (size_t s = 0; s < truth.steps.size(); ++s) {
    const StepResult &a = found.steps[s], &b = truth.steps[s];
    EXPECT_NEAR(a.loss, b.loss, bound * b.loss) << what << " step " << s + 1;
    EXPECT_NEAR(a.grad_norm, b.grad_norm, bound * b.grad_norm) << what << " step " << s + 1;
    EXPECT_NEAR(a.aux_loss, b.aux_loss, bound * b.aux_loss) << what << " step " << s + 1;
    EXPECT_NEAR(a.z_loss, b.z_loss, bound * b.z_loss) << what << " step " << s + 1;
    EXPECT_EQ(a.valid_tokens, b.valid_tokens) << what;
  }
  EXPECT_NEAR(found.eval_loss, truth.eval_loss, bound * truth.eval_loss) << what;
}

inline const Outcome& one_rank() {
  static const Outcome outcome = [] {
    Outcome o;
    world(1, [&](Comm& comm) { o = run(comm, {}, 4); });
    return o;
  }();
  return outcome;
}

}  // namespace og

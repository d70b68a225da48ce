// The planner: collectives' costs, cluster files, memory forecasts against the peak of real steps, the cost model
// against the published table whose source is verified.
#include "framework/train/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "framework/train/bench_step.h"
#include "framework/train/plan_published.h"
#include "framework/train/row_probe.h"
#include "tests/files.h"
#include "tests/world.h"

namespace og {
namespace {

const Link kLink{1e-5, 1e9};

TEST(Cost, RingsMoveWhatTheFormulasSay) {
  EXPECT_DOUBLE_EQ(all_gather_seconds(kLink, 4, 1e6), 3 * (1e-5 + 1e-3));
  EXPECT_DOUBLE_EQ(all_reduce_seconds(kLink, 4, 4e6), 6 * (1e-5 + 1e-3));
  EXPECT_DOUBLE_EQ(all_to_all_seconds(kLink, 4, 4e6), 3 * (1e-5 + 1e-3));
  EXPECT_DOUBLE_EQ(log_scan_seconds(kLink, 5, 1e6), 3 * (1e-5 + 1e-3));
  EXPECT_EQ(all_gather_seconds(kLink, 1, 1e6), 0);
  EXPECT_EQ(chain_seconds(kLink, 1, 1e6, 3), 0);
}

TEST(Cost, TheBestNumberOfBlocksIsBest) {
  for (int ranks : {3, 8, 64}) {
    const int best = best_chain_blocks(kLink, ranks, 1e6);
    EXPECT_LE(chain_seconds(kLink, ranks, 1e6, best), chain_seconds(kLink, ranks, 1e6, best + 2));
    EXPECT_LE(chain_seconds(kLink, ranks, 1e6, best), chain_seconds(kLink, ranks, 1e6, std::max(1, best - 2)));
  }
  EXPECT_LT(chain_seconds(kLink, 256, 1e6, best_chain_blocks(kLink, 256, 1e6)), all_gather_seconds(kLink, 256, 1e6));
}

Cluster some_cluster() {
  Cluster c;
  c.name = "test: two nodes";
  c.nodes = 2;
  c.devices_per_node = 4;
  c.memory_bytes = 8e9;
  c.products = 1e12, c.mixers = 1e11, c.attention = 5e11, c.memory = 1e11;
  c.activation_passes = 4;
  c.inside = {1e-5, 1e10};
  c.across = {1e-4, 1e9};
  return c;
}

TEST(ClusterFile, MistakesNameFileLineAndKey) {
  const TemporaryFolder folder;
  const std::string path = folder / "c.yaml", good = to_yaml(some_cluster());
  const auto message = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    write_file(path, text);
    return message_of(Status::usage, [&] { read_cluster(path); });
  };
  EXPECT_TRUE(contains(message("nodes:", "nods:"), "c.yaml:2: unknown key nods; did you mean nodes?"));
  EXPECT_TRUE(contains(message("nodes: 2", "nodes: 1.5"), "c.yaml:2: nodes: expected a whole number >= 1"));
  EXPECT_TRUE(contains(message("activation_passes: 4\n", ""), "missing activation_passes"));
}

TEST(ClusterFile, ReadsWhatItWrites) {
  const TemporaryFolder folder;
  const Cluster c = some_cluster();
  write_file(folder / "c.yaml", to_yaml(c));
  const Cluster read = read_cluster(folder / "c.yaml");
  EXPECT_EQ(read.name, c.name);
  EXPECT_EQ(read.devices(), 8);
  EXPECT_EQ(read.memory, c.memory);
  EXPECT_EQ(read.across.latency, c.across.latency);
  EXPECT_EQ(&read.link(4, 1), &read.inside);
  EXPECT_EQ(&read.link(4, 2), &read.across);
}

Config model(const char* mixer, const char* channel, int64_t length, int64_t tokens, const char* extra = "") {
  return parse_config(
      fmt::format("model: {{vocab_size: 512, hidden_size: 64, num_hidden_layers: 3, layer_pattern: X, "
                  "channel_pattern: Y, mixers: {{X: {}}}, channels: {{Y: {}}}}}\n"
                  "data: {{sequence_length: {}}}\ntrain: {{tokens_per_step: {}, precision: f32, threads: 1{}}}\n",
                  mixer, channel, length, tokens, extra),
      "test", {}, config_rules());
}

const char* const kGla = "{type: gla, num_heads: 2, head_k_dim: 32, head_v_dim: 32}";
const char* const kDelta = "{type: gated_delta_net, num_heads: 2, head_k_dim: 32, head_v_dim: 32}";
const char* const kSoftmax = "{type: attention, num_attention_heads: 2, num_key_value_heads: 2, head_dim: 32}";
const char* const kMlp = "{type: mlp, intermediate_size: 128}";
const char* const kMoe = "{type: moe, num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 64}";

// The forecast is for the rank that takes the most.
void expect_memory(const Config& config, const Degrees& degrees, const char* what) {
  const double forecast = Planner(config, some_cluster()).forecast(degrees).memory.total();
  double measured = 0;
  world(degrees.world(), [&](Comm& comm) {
    Config own = config;
    own.parallel.degrees = degrees;
    own.parallel.data_auto = false;
    const StepBenchResult r = bench_step(own, comm, {.steps = 1, .warmup = 2});
    if (comm.rank() == 0) measured = static_cast<double>(r.peak_memory_bytes);
  });
  EXPECT_NEAR(forecast / measured, 1, 0.10) << what << ": " << forecast << " forecast, " << measured << " measured";
}

TEST(Memory, WithinTenPercentOfTheMeasuredPeak) {
  expect_memory(model(kGla, kMoe, 512, 1024), {}, "gla, experts");
  expect_memory(model(kDelta, kMlp, 512, 1024, ", micro_batch_size: 2"), {}, "delta rule, MLP");
  expect_memory(model(kSoftmax, kMlp, 1024, 1024), {.sequence = 2}, "softmax over a sequence");
  expect_memory(model(kGla, kMlp, 1024, 2048), {.data = 2}, "data");
  expect_memory(model(kDelta, kMlp, 512, 1024), {.tensor = 2}, "tensor");
  expect_memory(model(kGla, kMlp, 2048, 2048, ", recompute: block"), {}, "recomputed");
}

// Every kind of call over the sequence and tensor axes, as a micro step of the same model on these ranks counts it.
void expect_exchanges(Config config, const Degrees& degrees, const std::string& method) {
  config.parallel.sequence_method = config.parallel.softmax_sequence_method = method;
  const Forecast forecast = Planner(config, some_cluster()).forecast(degrees);
  config.parallel.degrees = degrees;
  const auto counted = probe_rows(config, degrees, {config.data.sequence_length}).front().collectives;
  int compared = 0;
  for (const CollectiveCount& c : counted) {
    if ((c.axis != "sequence" && c.axis != "tensor") || c.bytes == 0) continue;
    double bytes = 0, calls = 0;
    for (const CollectiveForecast& f : forecast.collectives)
      if (f.axis == c.axis && f.verb == c.verb && f.site == c.site) bytes += f.bytes, calls += f.calls;
    const std::string what =
        fmt::format("{}, {}: {} {} {}", method, layout_name(degrees), c.axis, name_of(c.verb), c.site);
    EXPECT_NEAR(bytes / static_cast<double>(c.bytes), 1, 1e-6) << what;
    EXPECT_EQ(calls, static_cast<double>(c.calls)) << what;
    compared += 1;
  }
  EXPECT_GE(compared, 2);
}

TEST(Exchanges, EveryMethodSendsWhatIsForecast) {
  const char* const gla = "{type: gla, num_heads: 4, head_k_dim: 16, head_v_dim: 16}";
  const char* const delta = "{type: gated_delta_net, num_heads: 4, head_k_dim: 16, head_v_dim: 16}";
  const char* const softmax = "{type: attention, num_attention_heads: 4, num_key_value_heads: 4, head_dim: 16}";
  for (const char* mixer : {gla, delta})
    for (const char* method : {"lasp2", "lasp1", "zeco", "scan", "ring", "ulysses", "megatron"})
      expect_exchanges(model(mixer, kMlp, 512, 512), {.sequence = 4}, method);
  for (const char* method : {"all_gather_kv", "ring", "ulysses"})
    expect_exchanges(model(softmax, kMlp, 512, 512), {.sequence = 4}, method);
  expect_exchanges(model(kGla, kMoe, 512, 512), {.sequence = 2, .tensor = 2}, "lasp2");
  expect_exchanges(model(kSoftmax, kMlp, 512, 512, ", recompute: block"), {.sequence = 4}, "ring");
}

TEST(Exchanges, HeadsThatDoNotDivideByTwo) {
  const char* const three = "{type: attention, num_attention_heads: 3, num_key_value_heads: 3, head_dim: 16}";
  expect_exchanges(model(three, kMlp, 510, 510), {.sequence = 3}, "ulysses");
  Config config = model(three, kMlp, 512, 2048);
  config.parallel.softmax_sequence_method = "ulysses";
  EXPECT_FALSE(Planner(config, some_cluster()).all(4).empty());
}

TEST(Exchanges, WhatAutoTakesIsForecast) {
  const Forecast forecast = Planner(model(kSoftmax, kMlp, 512, 512), some_cluster()).forecast({.sequence = 2});
  EXPECT_EQ(forecast.sequence.softmax, SoftmaxMethod::ulysses);
  EXPECT_EQ(forecast.collectives.front().verb, Verb::all_to_all);
}

// Wide layers and few tokens: what gradients take must not be taken for activations.
TEST(Memory, ActivationsOfWideLayersAreCounted) {
  Config wide = model("{type: gla, num_heads: 8, head_k_dim: 32, head_v_dim: 32}", kMoe, 512, 512);
  wide.model.hidden_size = 256;
  Planner planner(wide, some_cluster());
  const double one = planner.forecast({}).memory.activations, four = planner.forecast({.tensor = 4}).memory.activations;
  EXPECT_GT(four, 0.25 * one);
  EXPECT_LT(four, one);
}

TEST(Planner, ListsEveryLegalLayoutBestFirst) {
  const Config config = model(kGla, kMoe, 512, 2048);
  const std::vector<Forecast> plans = Planner(config, some_cluster()).all(4);
  ASSERT_FALSE(plans.empty());
  for (size_t i = 1; i < plans.size(); ++i) EXPECT_LE(plans[i - 1].step_seconds(), plans[i].step_seconds());
  int with_experts = 0;
  for (const Forecast& f : plans) {
    const Degrees& d = f.degrees;
    EXPECT_EQ(d.world(), 4);
    EXPECT_LE(d.tensor, 2) << "two heads";
    with_experts += d.expert > 1;
    for (const CollectiveForecast& c : f.collectives) {
      EXPECT_GE(c.seconds, c.exposed);
      EXPECT_GT(c.bytes, 0);
    }
  }
  EXPECT_GT(with_experts, 0);
}

TEST(Planner, MoreMemoryThanThereIsDoesNotFit) {
  Cluster small = some_cluster();
  small.memory_bytes = 1e5;
  for (const Forecast& f : Planner(model(kGla, kMlp, 512, 2048), small).all(4)) EXPECT_FALSE(f.fits);
}

TEST(Published, VerifiedTablesAreReproduced) {
  int verified = 0;
  for (const PublishedFit& fit : fit_published_tables()) {
    EXPECT_LE(fit.constants.size(), 3U);
    if (!fit.verified) continue;
    verified += 1;
    EXPECT_LE(fit.mean_error(), 0.15) << fit.title;
    EXPECT_LE(fit.worst_error(), 0.30) << fit.title;
  }
  EXPECT_EQ(verified, 1);
}

}  // namespace
}  // namespace og

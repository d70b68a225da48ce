// The planner: collectives' costs, cluster files, memory forecasts against the peak of real steps, the cost model
// against the published table whose source is verified.
#include "framework/plan/planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

#include "framework/config/problems.h"
#include "framework/measure/host_memory.h"
#include "framework/measure/random_rows.h"
#include "framework/plan/probe/cluster.h"
#include "framework/plan/probe/rows.h"
#include "framework/plan/published/fit.h"
#include "framework/train/session.h"
#include "framework/train/step.h"
#include "tests/files.h"
#include "tests/world.h"

namespace og {
namespace {

GroupLinks links(int ranks) { return {.ranks = ranks, .inside = {1e-5, 1e9}}; }

TEST(Cost, MessagesThatWaitForNobodyShareALatencyOthersDoNot) {
  EXPECT_DOUBLE_EQ(all_gather_cost(links(4), 1e6).seconds, 1e-5 + 3e-3);
  EXPECT_DOUBLE_EQ(all_gather_cost(links(4), 1e6).bytes, 3e6);
  EXPECT_DOUBLE_EQ(reduce_scatter_cost(links(4), 1e6).seconds, 1e-5 + 3e-3);
  EXPECT_DOUBLE_EQ(all_reduce_cost(links(4), 4e6).seconds, 2 * (1e-5 + 3e-3));
  EXPECT_DOUBLE_EQ(all_reduce_cost(links(4), 4e6).bytes, 6e6);
  EXPECT_DOUBLE_EQ(all_to_all_cost(links(4), 4e6).seconds, 1e-5 + 3e-3);
  EXPECT_DOUBLE_EQ(chain_cost(links(4), 1e6, 1).seconds, 3 * (1e-5 + 1e-3));
  EXPECT_DOUBLE_EQ(chain_cost(links(4), 1e6, 4).seconds, 6 * (1e-5 + 0.25e-3));
  EXPECT_DOUBLE_EQ(rounds_cost(links(5), 1e6).seconds, 4 * (1e-5 + 1e-3));  // three rounds and the shift
  EXPECT_DOUBLE_EQ(hops_cost(links(4), 1e6, 3).seconds, 3 * (1e-5 + 1e-3));
  // Four ranks on each of two hosts: three neighbours' summaries, the other host's, and the state that is handed on.
  const GroupLinks two{.ranks = 8, .hosts = 2, .inside = {1e-5, 1e9}, .across = {1e-4, 1e8}};
  EXPECT_DOUBLE_EQ(levels_cost(two, 1e6).seconds, 1e-5 + 3e-3 + 1e-4 + 1e-2 + 1e-5 + 1e-3);
  EXPECT_DOUBLE_EQ(levels_cost(two, 1e6).bytes, 4e6);
  EXPECT_EQ(all_gather_cost(links(1), 1e6).seconds, 0);
  EXPECT_EQ(chain_cost(links(1), 1e6, 3).seconds, 0);
}

TEST(Cost, TheBestNumberOfBlocksIsBest) {
  for (int ranks : {3, 8, 64}) {
    const int best = best_chain_blocks(links(ranks), 1e6);
    const auto seconds = [&](int blocks) { return chain_cost(links(ranks), 1e6, blocks).seconds; };
    EXPECT_LE(seconds(best), seconds(best + 2));
    EXPECT_LE(seconds(best), seconds(std::max(1, best - 2)));
  }
  const GroupLinks many = links(256);
  EXPECT_LT(chain_cost(many, 1e6, best_chain_blocks(many, 1e6)).seconds, all_gather_cost(many, 1e6).seconds);
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
  EXPECT_TRUE(contains(message("device: core", "device: tpu"), "c.yaml:3: device: expected core or gpu, found"));
  for (const char* number : {"nan", "inf", "-inf", "1e999", "4x"})
    EXPECT_TRUE(contains(message("bandwidth: 1e+10", fmt::format("bandwidth: {}", number)),
                         "c.yaml:13: inside.bandwidth: expected a number >= 1, found"))
        << number;
  EXPECT_TRUE(contains(message("nodes: 2", "nodes: 4294967297"), "nodes: expected a whole number >= 1 and <= 1048576"));
  EXPECT_TRUE(contains(message("nodes: 2", "nodes: 1048576"), "at most 1048576 devices, found 1048576 x 4"));
  EXPECT_TRUE(contains(message("nodes: 2", "nodes: 2\nnodes: 3"), "c.yaml:3: nodes is given twice"));
  EXPECT_TRUE(contains(message("inside: {latency: 1e-05, bandwidth: 1e+10}", "inside: 5"),
                       "c.yaml:13: inside: expected keys with values, found 5"));
  write_file(path, "");
  EXPECT_TRUE(contains(message_of(Status::usage, [&] { read_cluster(path); }), "c.yaml: missing name, device, nodes"));
}

TEST(Places, GpusAreOneARankAndCoresAreShared) {
  Cluster c = some_cluster();  // two nodes of four
  EXPECT_EQ(Places(c, 1).width(), 4) << "the cores of one node";
  EXPECT_EQ(Places(c, 2).ranks_per_node(), 1);
  EXPECT_EQ(Places(c, 4).width(), 2);
  EXPECT_GT(Places(c, 2).nodes(2, 1), 1) << "one rank on each node";
  EXPECT_EQ(Places(c, 4).nodes(2, 1), 1);
  EXPECT_GT(Places(c, 4).nodes(2, 2), 1);
  c.device = Device::gpu;
  EXPECT_EQ(Places(c, 1).width(), 1);
  EXPECT_EQ(Places(c, 4).links(4, 1).widest().latency, c.inside.latency) << "the first node is filled";
}

TEST(Places, GroupsThatStraddleANode) {
  Cluster c = some_cluster();
  c.device = Device::gpu, c.nodes = 3;
  EXPECT_EQ(Places(c, 12).nodes(4, 1), 1);
  EXPECT_EQ(Places(c, 12).nodes(3, 1), 2) << "ranks 3, 4, 5";
  EXPECT_EQ(Places(c, 12).nodes(6, 1), 2);
  EXPECT_EQ(Places(c, 12).nodes(6, 2), 3);
  EXPECT_EQ(Places(c, 12).nodes(3, 4), 3);
  EXPECT_EQ(Places(c, 12).links(3, 1).widest().latency, c.across.latency);
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
  EXPECT_EQ(read.device, c.device);
}

TEST(MeasuredLinks, InsideAHostAndAcrossAreMeasuredApart) {
  for (int per_host : {0, 2}) {
    Cluster c;
    c.inside = c.across = {};
    world(4,
          [&](Comm& comm) {
            Cluster own;
            measure_links(comm, own);
            EXPECT_GT(own.inside.latency, 0);
            EXPECT_GT(own.across.bandwidth, 1e6);
            if (comm.rank() == 0) c = own;
          },
          {.ranks_per_host = per_host});
    EXPECT_EQ(c.inside.latency == c.across.latency, per_host == 0);
    EXPECT_EQ(c.inside.bandwidth == c.across.bandwidth, per_host == 0);
  }
}

TEST(HostMemory, IsWhatTheControlGroupsAllow) {
  const TemporaryFolder folder;
  const std::string groups = folder / "sys/fs/cgroup";
  std::filesystem::create_directories(folder / "proc/self");
  std::filesystem::create_directories(groups + "/job/step");
  std::filesystem::create_directories(groups + "/memory/old");
  write_file(folder / "proc/self/cgroup", "0::/job/step\n");
  EXPECT_EQ(total_memory_bytes(folder / ""), total_memory_bytes("/nowhere"));
  write_file(groups + "/job/step/memory.max", "max\n");
  write_file(groups + "/job/memory.max", "1048576\n");
  EXPECT_EQ(total_memory_bytes(folder / ""), 1048576) << "of a group above";
  write_file(folder / "proc/meminfo", "MemTotal: 900 kB\nMemAvailable: 800 kB\n");
  write_file(groups + "/job/memory.current", "524288\n");
  EXPECT_EQ(free_memory_bytes(folder / ""), 524288) << "that the group above leaves";
  write_file(groups + "/job/memory.current", "0\n");
  EXPECT_EQ(free_memory_bytes(folder / ""), 800 * 1024) << "that the system has";
  write_file(folder / "proc/self/cgroup", "3:cpu:/x\n7:memory:/old\n");
  write_file(groups + "/memory/old/memory.limit_in_bytes", "65536\n");
  EXPECT_EQ(total_memory_bytes(folder / ""), 65536) << "version 1";
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

Config with(Config config, const std::function<void(Config&)>& change) {
  change(config);
  return config;
}

// Peak bytes of the rank that takes most, over three optimizer steps.
double measured_peak(const Config& config) {
  double peak = 0;
  world(config.parallel.degrees.world(), [&](Comm& comm) {
    Session session(config, comm, config.parallel.degrees);
    Context& cx = session.context();
    AdamW optimizer(session.store(), config.train.adamw, config.optimizer_sharding());
    TrainStep step(session.model(), optimizer, step_options(config));
    const RowSource rows = [&](int64_t first, int64_t count) {
      return random_rows(*cx.pool, first, count, config.data.sequence_length, config.model.vocab_size);
    };
    for (int64_t s = 0; s < 3; ++s) step.run(s + 1, s * config.rows_per_step(), rows, 1e-4, false);
    const double most = comm.max(static_cast<double>(cx.pool->stats().peak_bytes), Sites::metrics);
    if (comm.rank() == 0) peak = most;
  });
  return peak;
}

void expect_memory(const Config& config, const Layout& layout, const char* what) {
  const double forecast = Planner(config, some_cluster()).forecast(layout).memory.total();
  const double measured = measured_peak(with_layout(config, layout));
  EXPECT_NEAR(forecast / measured, 1, 0.10)
      << what << ", " << layout_name(layout) << ": " << forecast << " forecast, " << measured << " measured";
}

TEST(Memory, WithinTenPercentOfTheMeasuredPeak) {
  expect_memory(model(kGla, kMoe, 512, 1024), {}, "gla, experts");
  expect_memory(model(kDelta, kMlp, 512, 1024, ", micro_batch_size: 2"), {}, "delta rule, MLP");
  expect_memory(model(kSoftmax, kMlp, 1024, 1024), {{.sequence = 2}}, "softmax over a sequence");
  expect_memory(model(kGla, kMlp, 1024, 2048), {{.data = 2}}, "data");
  expect_memory(model(kDelta, kMlp, 512, 1024), {{.tensor = 2}}, "tensor");
  expect_memory(model(kGla, kMlp, 2048, 2048, ", recompute: block"), {}, "recomputed");
}

TEST(Memory, OfALargeVocabulary) {
  const auto vocabulary = [](int64_t rows) { return [rows](Config& c) { c.model.vocab_size = rows; }; };
  expect_memory(with(model(kGla, kMlp, 256, 256), vocabulary(65536)), {}, "65536 rows");
  expect_memory(with(model(kGla, kMlp, 1536, 1536), vocabulary(16384)), {}, "16384 rows, two blocks of logits");
  expect_memory(with(model(kGla, kMlp, 256, 256), vocabulary(16384)), {{.tensor = 2}}, "16384 rows");
  expect_memory(with(model(kGla, kMlp, 256, 512), vocabulary(16384)), {{.pipeline = 2}}, "16384 rows");
  expect_memory(with(model(kGla, kMlp, 256, 512),
                     [](Config& c) { c.model.vocab_size = 16384, c.model.tie_word_embeddings = true; }),
                {{.pipeline = 2}}, "16384 rows, tied");
}

TEST(Memory, OfPipelines) {
  const auto layers = [](int64_t n) { return [n](Config& c) { c.model.num_hidden_layers = n; }; };
  expect_memory(with(model(kGla, kMlp, 512, 2048), layers(4)), {{.pipeline = 2}}, "even");
  expect_memory(model(kGla, kMlp, 512, 2048), {{.pipeline = 2}}, "uneven");
  expect_memory(with(model(kGla, kMlp, 512, 4096), layers(5)), {{.pipeline = 4}}, "uneven");
  expect_memory(with(model(kDelta, kMlp, 256, 1024), layers(4)), {{.pipeline = 2}, 0, 2}, "interleaved");
  expect_memory(with(model(kGla, kMlp, 256, 2048), layers(8)), {{.data = 2, .pipeline = 2}, 1, 2}, "interleaved");
  expect_memory(model(kGla, kMlp, 2048, 2048, ", segment_length: 256"), {{.pipeline = 2}}, "segments");
}

TEST(Memory, OfCutOptimizersSegmentsExpertsAndDoubles) {
  const Config wide = with(model(kGla, kMlp, 128, 256), [](Config& c) { c.model.hidden_size = 256; });
  expect_memory(wide, {{.data = 2}, 1}, "wide");
  expect_memory(wide, {{.sequence = 2}, 1}, "wide");
  expect_memory(with(model(kGla, kMoe, 128, 512), [](Config& c) { c.model.hidden_size = 256; }),
                {{.data = 4, .expert = 2}, 1}, "wide experts");
  expect_memory(model(kGla, kMoe, 512, 1024), {{.sequence = 2, .expert = 2}}, "experts");
  expect_memory(model(kGla, kMoe, 512, 1024), {{.data = 2, .expert = 2}}, "experts");
  expect_memory(model(kGla, kMlp, 4096, 4096, ", segment_length: 256"), {}, "segments");
  expect_memory(model(kDelta, kMlp, 2048, 2048, ", segment_length: 512"), {{.sequence = 2}}, "segments");
  expect_memory(model(kSoftmax, kMlp, 2048, 2048, ", segment_length: 256"), {}, "segments, softmax");
  expect_memory(with(model(kGla, kMlp, 128, 256), [](Config& c) { c.train.precision = "f64"; }), {{.data = 2}}, "f64");
}

// Every kind of call over the sequence and tensor axes, as a micro step of the same model on these ranks counts it.
void expect_exchanges(Config config, const Degrees& degrees, const std::string& method) {
  config.parallel.sequence_method = config.parallel.softmax_sequence_method = method;
  Cluster one_host = some_cluster();  // as the ranks that are counted: hierarchical sends less across hosts
  one_host.nodes = 1, one_host.devices_per_node = degrees.world();
  const Forecast forecast = Planner(config, one_host).forecast({degrees});
  config.parallel.degrees = degrees;
  const auto counted = probe_rows(config, degrees, {config.data.sequence_length}).front().collectives;
  int compared = 0;
  for (const CollectiveCount& c : counted) {
    if ((c.axis != "sequence" && c.axis != "tensor") || c.bytes == 0) continue;
    double bytes = 0, calls = 0;
    for (const CollectiveForecast& f : forecast.collectives)
      if (f.axis == c.axis && f.verb == c.verb && f.site == c.site) bytes += f.bytes, calls += f.calls;
    const std::string what =
        fmt::format("{}, {}: {} {} {}", method, layout_name({degrees}), c.axis, name_of(c.verb), c.site.name);
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
    for (const std::string& method : names_of(linear_methods()))
      expect_exchanges(model(mixer, kMlp, 512, 512), {.sequence = 4}, method);
  for (const std::string& method : names_of(softmax_methods()))
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
  const Forecast forecast = Planner(model(kSoftmax, kMlp, 512, 512), some_cluster()).forecast({{.sequence = 2}});
  EXPECT_EQ(name_of(forecast.sequence.softmax), std::string("ulysses"));
  EXPECT_EQ(forecast.collectives.front().verb, Verb::all_to_all);
}

// Wide layers and few tokens: what gradients take must not be taken for activations.
TEST(Memory, ActivationsOfWideLayersAreCounted) {
  Config wide = model("{type: gla, num_heads: 8, head_k_dim: 32, head_v_dim: 32}", kMoe, 512, 512);
  wide.model.hidden_size = 256;
  Planner planner(wide, some_cluster());
  const double one = planner.forecast({{}}).memory.activations,
               four = planner.forecast({{.tensor = 4}}).memory.activations;
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
    const Degrees& d = f.layout.degrees;
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

// Every tuple there is, against the same rules: what a search that steps over factors could lose.
TEST(Planner, SearchesEveryLegalLayout) {
  const Config config = with(model(kGla, kMoe, 512, 2048), [](Config& c) { c.model.num_hidden_layers = 6; });
  const Cluster cluster = some_cluster();
  for (int ranks : {1, 4, 6, 8}) {
    std::set<std::string> every, found;
    for (int i = 0; i < 8 * 8 * 8 * 8 * 8; ++i) {
      const Degrees d{.data = 1 + i % 8,
                      .sequence = 1 + i / 8 % 8,
                      .tensor = 1 + i / 64 % 8,
                      .expert = 1 + i / 512 % 8,
                      .pipeline = 1 + i / 4096};
      if (check_degrees(d, ranks)) continue;
      for (int zero : {0, 1})
        for (int chunks : {1, 2}) {
          const bool same = (zero == 1 && d.data * d.sequence == 1 && d.data * d.sequence * d.tensor == d.expert) ||
                            (chunks == 2 && d.pipeline == 1);
          Problems problems;
          check_config(with_layout(config, {d, zero, chunks}), config_rules(ranks), problems);
          if (!same && !problems.all()) every.insert(layout_name({d, zero, chunks}));
        }
    }
    for (const Layout& layout : search_layouts(config, cluster, ranks).legal) found.insert(layout_name(layout));
    EXPECT_EQ(found, every) << ranks << " ranks";
    EXPECT_EQ(found.size(), search_layouts(config, cluster, ranks).legal.size());
  }
}

TEST(Planner, NoLegalLayoutNamesTheNearestProblem) {
  const char* const sliding = "{type: attention, num_attention_heads: 3, num_key_value_heads: 3, head_dim: 16}";
  Config config = model(sliding, kMlp, 512, 1536);
  config.parallel.softmax_sequence_method = "ulysses";
  config.parallel.degrees.pipeline = 3;  // searched, not taken
  const std::string message = message_of(Status::usage, [&] { Planner(config, some_cluster()).all(7); });
  EXPECT_TRUE(contains(message, "no layout of 7 ranks is legal; the nearest is data 7: ")) << message;
  EXPECT_TRUE(contains(message, "train.tokens_per_step: 3 rows a step")) << message;
}

// Layers take all the time: nothing for the head, nothing for links.
Cluster slow_mixers() {
  Cluster c = some_cluster();
  c.mixers = 1e6, c.products = 1e15, c.activation_passes = 0, c.memory = 1e15;
  c.inside = c.across = {1e-12, 1e15};
  return c;
}

TEST(Planner, TheBubbleIsWhatTheSlowestStageWaits) {
  const auto bubble = [](int64_t layers, const Layout& layout, const char* train = "") {
    const Config config =
        with(model(kGla, kMlp, 512, 2048, train), [&](Config& c) { c.model.num_hidden_layers = layers; });
    const Forecast f = Planner(config, slow_mixers()).forecast(layout);
    return f.bubble_seconds / f.compute_seconds;
  };
  // (P - 1) / (m V) of even stages, m = 4 micro steps.
  EXPECT_NEAR(bubble(4, {{.pipeline = 2}}), 1.0 / 4, 1e-3);
  EXPECT_NEAR(bubble(4, {{.pipeline = 4}}), 3.0 / 4, 1e-3);
  EXPECT_NEAR(bubble(4, {{.data = 2, .pipeline = 2}}), 1.0 / 2, 1e-3);
  EXPECT_NEAR(bubble(4, {{.pipeline = 2}, 0, 2}), 1.0 / 8, 1e-3);
  // Stages of 2 and 1 layers: the stage of two waits for a micro step of one.
  EXPECT_NEAR(bubble(3, {{.pipeline = 2}}), 1.0 / 8, 1e-3);
  // Segments: each row fills the pipeline again.
  EXPECT_NEAR(bubble(4, {{.pipeline = 2}}, ", segment_length: 128"), 1.0 / 4, 1e-3);
  EXPECT_EQ(bubble(4, {}), 0);
}

TEST(Planner, OneGpuHasTheMemoryOfOne) {
  Cluster c = some_cluster();
  const Config config = model(kGla, kMlp, 512, 2048);
  c.device = Device::gpu;
  c.memory_bytes = 0.75 * Planner(config, c).forecast({}).memory.total();
  EXPECT_FALSE(Planner(config, c).forecast({}).fits);
  c.device = Device::core;
  EXPECT_TRUE(Planner(config, c).forecast({}).fits) << "a rank has the memory of four cores";
}

TEST(Planner, MoreMemoryThanThereIsDoesNotFit) {
  Cluster small = some_cluster();
  small.memory_bytes = 1e5;
  const Config config = model(kGla, kMlp, 512, 2048);
  const std::vector<Forecast> plans = Planner(config, small).all(4);
  for (const Forecast& f : plans) EXPECT_FALSE(f.fits);
  const std::string text = describe(plans, config, small, 3);
  EXPECT_TRUE(contains(text, "no layout fits into memory; the one that takes least: "));
  EXPECT_TRUE(contains(text, "activations"));
}

TEST(Published, VerifiedTablesAreReproduced) {
  int verified = 0;
  for (const PublishedFit& fit : fit_published_tables()) {
    EXPECT_LE(fit.constants.size(), 3U);
    for (const PublishedTable& table : fit.tables) {
      if (!fit.verified) continue;
      verified += 1;
      EXPECT_EQ(table.cells.size(), 38U) << table.title;
      EXPECT_LE(table.mean_error(), 0.15) << table.title;
      EXPECT_LE(table.worst_error(), 0.30) << table.title;
    }
  }
  EXPECT_EQ(verified, 1);
}

}  // namespace
}  // namespace og

#include "framework/plan/probe/cluster.h"

#include <unistd.h>

#include <algorithm>

#include "framework/bench/comm.h"
#include "framework/bench/step.h"
#include "framework/measure/host_memory.h"
#include "framework/measure/machine.h"
#include "framework/plan/probe/layer.h"
#include "parallel/comm/hosts.h"

namespace og {

namespace {

// One of everything that has a rate of its own, at the widths of a small model.
Config probe_config(const std::string& precision, int64_t tokens) {
  Config config;
  ModelConfig& model = config.model;
  model.vocab_size = 4096, model.hidden_size = 384, model.num_hidden_layers = 4;
  model.layer_pattern = "GDNS", model.channel_pattern = "MPMP";
  const std::map<std::string, OptionValue> heads{{"num_heads", 6}, {"head_k_dim", 64}, {"head_v_dim", 64}};
  set_mixer(model, 'G', "gla", heads);
  set_mixer(model, 'D', "gated_delta_net", heads);
  set_mixer(model, 'S', "mamba2", heads);
  set_mixer(model, 'N', "attention", {{"num_attention_heads", 6}, {"num_key_value_heads", 2}, {"head_dim", 64}});
  set_channel(model, 'M', "moe", {{"num_experts", 8}, {"num_experts_per_tok", 2}, {"moe_intermediate_size", 384}});
  set_channel(model, 'P', "mlp", {{"intermediate_size", 1024}});
  config.data.sequence_length = 512;
  config.train.tokens_per_step = tokens;
  config.train.precision = precision;
  check_config(config, config_rules(1));
  return config;
}

constexpr int64_t kShortStep = 512, kLongStep = 2048;  // tokens

}  // namespace

Link measure_link(Comm& comm) {
  constexpr int64_t kMessage = int64_t{4} << 20;  // one rank's part, bytes
  std::vector<CommBenchRow> rows;
  for (int64_t size : {int64_t{8}, kMessage}) rows.push_back(bench_verb(comm, Verb::all_gather, size * comm.size()));
  const CommFit fit = fit_line(Verb::all_gather, rows);
  return {std::max(1e-9, fit.alpha), 1 / std::max(1e-15, fit.beta)};
}

namespace {

// What limits a group when all its ranks measure at once: the slowest.
Link slowest(Comm& world, const Link& own) {
  return {world.max(own.latency, Sites::metrics), -world.max(-own.bandwidth, Sites::metrics)};
}

}  // namespace

void measure_links(Comm& world, Cluster& cluster) {
  Hosts& hosts = world.hosts();
  Link inside;
  if (hosts.inside().size() > 1) {
    inside = measure_link(hosts.inside());
  } else {
    run_thread_world(2, [&](Comm& comm) {
      const Link link = measure_link(comm);
      if (comm.rank() == 0) inside = link;
    });
  }
  cluster.inside = cluster.across = slowest(world, inside);
  if (hosts.count() == 1) return;
  Link across{0, 1e30};
  if (hosts.inside().rank() == 0) across = measure_link(hosts.across());
  cluster.across = slowest(world, across);
}

Cluster measure_cluster(Comm& world, const std::string& precision) {
  Hosts& hosts = world.hosts();
  Cluster cluster;
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  cluster.name = fmt::format("{}, {}", host, precision);
  cluster.nodes = hosts.count();
  // The smallest host counts for all. More ranks than cores: each was measured on its share, and counts as a core.
  const auto least = [&](double own) { return -world.max(-own, Sites::metrics); };
  cluster.devices_per_node = static_cast<int>(least(std::max(hardware_threads(), hosts.inside().size())));
  cluster.memory_bytes = least(static_cast<double>(total_memory_bytes())) / cluster.devices_per_node;

  // Every rank trains alone, all at the same time, as they do when they train together.
  const auto self = make_self_comm();
  const auto bench = [&](int64_t tokens) {
    Config config = probe_config(precision, tokens);
    config.train.threads = std::max(1, hardware_threads() / hosts.inside().size());
    world.barrier(Sites::metrics);
    return std::pair(config, bench_step(config, *self, {.steps = 6, .warmup = 2}));
  };
  const auto [config, result] = bench(kLongStep);
  const double cores = static_cast<double>(config.train.threads), tokens = kLongStep;
  const auto mean = [&](double own) { return world.sum(own, Sites::metrics) / world.size(); };
  const auto rate = [&](double flops, Part part) { return mean(3 * tokens * flops / result.seconds(part)) / cores; };
  const ModelFlops& f = result.flops;
  cluster.products = rate(f.products + f.experts + f.head, Part::products);
  cluster.mixers = rate(f.mixers, Part::mixers);
  cluster.attention = rate(f.attention, Part::attention);
  Stream stream;
  stream.num_threads = config.train.threads;
  cluster.memory = mean(measure_memory(stream, 1 << 23, 5)) / cores;

  // What a step takes with no tokens, less the optimizer: from the fastest steps, as what else the machine does only
  // adds to them, and never more than what no part accounts for.
  const StepBenchResult brief = bench(kShortStep).second;
  const double long_step = tokens / result.most, short_step = kShortStep / brief.most;
  const double empty = (short_step * tokens - long_step * kShortStep) / (tokens - kShortStep);
  const double overhead = std::clamp(empty - result.seconds(Part::optimizer), 0.0, brief.seconds(Part::other));
  cluster.overhead_seconds = mean(overhead);

  const ModelProbe probe = probe_model(config, 1);
  double saved = 0;
  for (const LayerProbe& k : probe.layers) saved += static_cast<double>(k.count) * k.saved_per_token;
  double parts = 0;
  for (const Part part : {Part::routing, Part::loss, Part::other, Part::communication}) parts += result.seconds(part);
  const double rest = parts - overhead;
  cluster.activation_passes = mean(std::max(0.0, rest) * cluster.memory * cores / (saved * tokens));
  measure_links(world, cluster);
  return cluster;
}

}  // namespace og

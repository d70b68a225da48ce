#include "framework/train/cluster_probe.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include "framework/train/bench_comm.h"
#include "framework/train/bench_step.h"
#include "framework/train/layer_probe.h"
#include "framework/train/probe.h"

namespace og {

namespace {

// One of everything that has a rate of its own, at the widths of a small model.
constexpr const char* kModel = R"(
model:
  vocab_size: 4096
  hidden_size: 384
  num_hidden_layers: 4
  layer_pattern: GDNS
  channel_pattern: MPMP
  mixers:
    G: {type: gla, num_heads: 6, head_k_dim: 64, head_v_dim: 64}
    D: {type: gated_delta_net, num_heads: 6, head_k_dim: 64, head_v_dim: 64}
    S: {type: mamba2, num_heads: 6, head_k_dim: 64, head_v_dim: 64}
    N: {type: attention, num_attention_heads: 6, num_key_value_heads: 2, head_dim: 64}
  channels:
    M: {type: moe, num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: 384}
    P: {type: mlp, intermediate_size: 1024}
data: {sequence_length: 1024}
train: {tokens_per_step: 2048}
)";

}  // namespace

Link measure_link(Comm& comm) {
  constexpr int64_t kMessage = int64_t{4} << 20;  // of one rank
  std::vector<CommBenchRow> rows;
  for (int64_t size : {int64_t{8}, kMessage}) rows.push_back(bench_verb(comm, Verb::all_gather, size * comm.size()));
  const CommFit fit = fit_line(Verb::all_gather, rows);
  return {std::max(1e-9, fit.alpha / (comm.size() - 1)), 1 / std::max(1e-15, fit.beta)};
}

Cluster measure_cluster(Comm& world, const std::string& precision) {
  Cluster cluster;
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  cluster.name = fmt::format("{}, {}", host, precision);
  cluster.devices_per_node = hardware_threads();
  const auto pages = static_cast<double>(sysconf(_SC_PHYS_PAGES)), page = static_cast<double>(sysconf(_SC_PAGE_SIZE));
  cluster.memory_bytes = pages * page / cluster.devices_per_node;

  // Every rank trains alone, all at the same time, as they do when they train together.
  Config config = parse_config(kModel, "the probe's model", {"train.precision=" + precision}, config_rules(1));
  config.train.threads = std::max(1, hardware_threads() / world.size());
  const auto self = make_self_comm();
  world.barrier(Site{"metrics"});
  const StepBenchResult bench = bench_step(config, *self, {.steps = 6, .warmup = 2});
  const double cores = static_cast<double>(config.train.threads);
  std::map<std::string, double> part(bench.part_seconds.begin(), bench.part_seconds.end());
  const double flops = 3.0 * static_cast<double>(config.train.tokens_per_step);
  const ModelFlops& f = bench.flops;
  const auto rate = [&](double work, const char* name) {
    return world.sum(work / part.at(name), Site{"metrics"}) / world.size() / cores;
  };
  cluster.products = rate(flops * (f.products + f.experts + f.head), "products");
  cluster.mixers = rate(flops * f.mixers, "mixers");
  cluster.attention = rate(flops * f.attention, "attention");
  Stream stream;
  stream.num_threads = config.train.threads;
  cluster.memory = world.sum(measure_triad(stream, 1 << 23, 5), Site{"metrics"}) / world.size() / cores;

  const ModelProbe probe = probe_model(config, 1);
  double saved = 0;
  for (const LayerProbe& k : probe.layers) saved += static_cast<double>(k.count) * k.saved_per_token;
  const double rest = part.at("routing") + part.at("loss") + part.at("other") + part.at("communication");
  cluster.activation_passes =
      world.sum(rest * cluster.memory * cores / (saved * static_cast<double>(config.train.tokens_per_step)),
                Site{"metrics"}) /
      world.size();
  if (world.size() > 1) {
    cluster.inside = measure_link(world);
  } else {
    run_thread_world(2, [&](Comm& comm) {
      const Link link = measure_link(comm);
      if (comm.rank() == 0) cluster.inside = link;
    });
  }
  cluster.across = cluster.inside;
  return cluster;
}

}  // namespace og

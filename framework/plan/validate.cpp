#include "framework/plan/validate.h"

#include <cmath>

#include "framework/bench/step.h"
#include "framework/core/text.h"
#include "framework/plan/planner.h"
#include "framework/plan/probe/cluster.h"
#include "framework/train/session.h"

namespace og {

namespace {

constexpr double kMemoryBound = 0.10, kTimeBound = 0.25;

struct Case {
  const char* name;
  const char* model;   // what follows `model:`
  const char* length;  // tokens of a row
  const char* rows;    // `train:`
  const char* two;     // degrees on two ranks
};

const Case kCases[] = {
    {"gla, experts",
     "vocab_size: 4096, hidden_size: 512, num_hidden_layers: 4, layer_pattern: L, channel_pattern: M, "
     "mixers: {L: {type: gla, num_heads: 8, head_k_dim: 64, head_v_dim: 64}}, "
     "channels: {M: {type: moe, num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: 512}}",
     "1024", "tokens_per_step: 4096", "sequence: 2, expert: 2"},
    {"hybrid, experts",
     "vocab_size: 8192, hidden_size: 256, num_hidden_layers: 6, layer_pattern: LLN, channel_pattern: M, "
     "mixers: {L: {type: simple_gla, num_heads: 4, head_k_dim: 64, head_v_dim: 64}, "
     "N: {type: attention, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64}}, "
     "channels: {M: {type: moe, num_experts: 4, num_experts_per_tok: 1, moe_intermediate_size: 512}}",
     "2048", "tokens_per_step: 8192", "pipeline: 2"},
    {"delta rule, MLP",
     "vocab_size: 2048, hidden_size: 512, num_hidden_layers: 3, layer_pattern: D, channel_pattern: P, "
     "mixers: {D: {type: gated_delta_net, num_heads: 8, head_k_dim: 64, head_v_dim: 64}}, "
     "channels: {P: {type: mlp, intermediate_size: 1408}}",
     "512", "tokens_per_step: 4096, micro_batch_size: 2", "data: 2, zero: 1"},
    {"softmax, MLP, recomputed",
     "vocab_size: 4096, hidden_size: 512, num_hidden_layers: 4, layer_pattern: N, channel_pattern: P, "
     "mixers: {N: {type: attention, num_attention_heads: 8, num_key_value_heads: 2, head_dim: 64}}, "
     "channels: {P: {type: mlp, intermediate_size: 1408}}",
     "1024", "tokens_per_step: 4096, recompute: block", "tensor: 2"},
    {"mamba2, segments",
     "vocab_size: 4096, hidden_size: 384, num_hidden_layers: 4, layer_pattern: S, channel_pattern: P, "
     "mixers: {S: {type: mamba2, num_heads: 6, head_k_dim: 64, head_v_dim: 64}}, "
     "channels: {P: {type: mlp, intermediate_size: 1024}}",
     "2048", "tokens_per_step: 4096, segment_length: 512", "sequence: 2"},
};

}  // namespace

std::vector<Validation> validate_plans(Comm& world) {
  if (world.size() > 2) fail(Status::usage, "plan --validate: expected one or two ranks, found {}", world.size());
  const Cluster cluster = measure_cluster(world, "auto");
  std::vector<Validation> rows;
  for (const Case& c : kCases) {
    const std::string text =
        fmt::format("model: {{{}}}\ndata: {{sequence_length: {}}}\ntrain: {{{}}}\nparallel: {{{}}}\n", c.model,
                    c.length, c.rows, world.size() == 2 ? c.two : "data: 1");
    const Config config = parse_config(text, c.name, {}, config_rules(world.size()));
    const Layout layout{resolve_degrees(config, world.size()), static_cast<int>(config.parallel.zero), 1};
    Validation row;
    row.name = fmt::format("{}; {}", c.name, layout_name(layout));
    world.barrier(Sites::metrics);
    const Forecast forecast = Planner(config, cluster).forecast(layout);
    const StepBenchResult bench = bench_step(config, world, {.steps = 7, .warmup = 2});
    row.forecast_bytes = forecast.memory.total();
    row.measured_bytes = static_cast<double>(bench.peak_memory_bytes);
    row.forecast_seconds = forecast.step_seconds();
    row.measured_seconds = static_cast<double>(config.train.tokens_per_step) / bench.median;
    rows.push_back(row);
  }
  return rows;
}

std::string describe(const std::vector<Validation>& rows) {
  std::string text = fmt::format("{:<48} {:>10} {:>10} {:>7} {:<11}  {:>9} {:>9} {:>7} {}\n", "this machine, now",
                                 "memory", "measured", "", "within 10 %", "step s", "measured", "", "within 25 %");
  const auto within = [](double error, double bound) { return std::abs(error) <= bound ? "yes" : "no"; };
  for (const Validation& v : rows)
    text += fmt::format("{:<48} {:>10} {:>10} {:>+6.1f}% {:<11}  {:>9.4f} {:>9.4f} {:>+6.1f}% {}\n", v.name,
                        human_bytes(v.forecast_bytes), human_bytes(v.measured_bytes), 100 * v.memory_error(),
                        within(v.memory_error(), kMemoryBound), v.forecast_seconds, v.measured_seconds,
                        100 * v.time_error(), within(v.time_error(), kTimeBound));
  return text;
}

}  // namespace og

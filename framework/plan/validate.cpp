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
  Config config;       // on one rank
  ParallelConfig two;  // on two
};

std::map<std::string, OptionValue> heads(int64_t n) {
  return {{"num_heads", n}, {"head_k_dim", 64}, {"head_v_dim", 64}};
}
std::map<std::string, OptionValue> softmax_heads(int64_t n) {
  return {{"num_attention_heads", n}, {"num_key_value_heads", 2}, {"head_dim", 64}};
}
std::map<std::string, OptionValue> experts(int64_t n, int64_t per_token) {
  return {{"num_experts", n}, {"num_experts_per_tok", per_token}, {"moe_intermediate_size", 512}};
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](const char* name, int64_t vocabulary, int64_t hidden, int64_t layers, const char* mixers,
                       const char* channels, int64_t length, int64_t tokens) -> Case& {
    Case c{name, {}, {}};
    c.config.model.vocab_size = vocabulary, c.config.model.hidden_size = hidden;
    c.config.model.num_hidden_layers = layers;
    c.config.model.layer_pattern = mixers, c.config.model.channel_pattern = channels;
    c.config.data.sequence_length = length, c.config.train.tokens_per_step = tokens;
    return all.emplace_back(std::move(c));
  };
  {
    Case& c = add("gla, experts", 4096, 512, 4, "L", "M", 1024, 4096);
    set_mixer(c.config.model, 'L', "gla", heads(8));
    set_channel(c.config.model, 'M', "moe", experts(8, 2));
    c.two.degrees = {.sequence = 2, .expert = 2};
  }
  {
    Case& c = add("hybrid, experts", 8192, 256, 6, "LLN", "M", 2048, 8192);
    set_mixer(c.config.model, 'L', "simple_gla", heads(4));
    set_mixer(c.config.model, 'N', "attention", softmax_heads(4));
    set_channel(c.config.model, 'M', "moe", experts(4, 1));
    c.two.degrees = {.pipeline = 2};
  }
  {
    Case& c = add("delta rule, MLP", 2048, 512, 3, "D", "P", 512, 4096);
    set_mixer(c.config.model, 'D', "gated_delta_net", heads(8));
    set_channel(c.config.model, 'P', "mlp", {{"intermediate_size", 1408}});
    c.config.train.micro_batch_size = 2;
    c.two.zero = 1;
  }
  {
    Case& c = add("softmax, MLP, recomputed", 4096, 512, 4, "N", "P", 1024, 4096);
    set_mixer(c.config.model, 'N', "attention", softmax_heads(8));
    set_channel(c.config.model, 'P', "mlp", {{"intermediate_size", 1408}});
    c.config.train.recompute = "block";
    c.two.degrees = {.tensor = 2};
  }
  {
    Case& c = add("mamba2, segments", 4096, 384, 4, "S", "P", 2048, 4096);
    set_mixer(c.config.model, 'S', "mamba2", heads(6));
    set_channel(c.config.model, 'P', "mlp", {{"intermediate_size", 1024}});
    c.config.train.segment_length = 512;
    c.two.degrees = {.sequence = 2};
  }
  return all;
}

}  // namespace

std::vector<Validation> validate_plans(Comm& world) {
  if (world.size() > 2) fail(Status::usage, "plan --validate: expected one or two ranks, found {}", world.size());
  const Cluster cluster = measure_cluster(world, "auto");
  std::vector<Validation> rows;
  for (const Case& c : cases()) {
    Config config = c.config;
    if (world.size() == 2) config.parallel = c.two;
    check_config(config, config_rules(world.size()));
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

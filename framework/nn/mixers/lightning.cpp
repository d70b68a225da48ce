// Lightning Attention 2 (arXiv 2401.04658; as in MiniMax-01, arXiv 2501.08313): S = gamma S + k v^T with a decay per
// head and layer, silu on q, k and v, scale 1, no positions; RMS norm over all merged heads, sigmoid gate.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/mixers/scan_mixer.h"
#include "framework/ops/gates.h"

namespace og {

namespace {

// Slopes: the decay is exp(-slope).
double slope(const std::string& formula, int64_t head, int64_t num_heads, int64_t index, int64_t count) {
  const auto layer = static_cast<double>(index), num_layers = static_cast<double>(count);
  const auto h = static_cast<double>(head), heads = static_cast<double>(num_heads);
  if (formula == "linear") return 8 * h / heads * (1 - layer / num_layers);
  return std::exp2(-8 * (h + 1) / heads) * (1 - layer / (num_layers - 1 + 1e-5) + 1e-5);
}

ScanCore lightning_core(const LayerContext& context, const Options& o) {
  const int64_t heads = o.integer("num_heads");
  const auto log_decay = [&](int64_t head) {
    return -slope(o.choice("slope"), head, heads, context.layer_index, context.num_layers);
  };
  return {
      .streams = [decay = per_local_head(context, heads, log_decay)](StepContext& step, const Value&, ScanStreams& s) {
        s.g = constant_gate(step.tape, s.q, decay);
      }};
}

Value run_lightning(const RecurrenceCall& c) {
  return run_scan(c, [&](int64_t head) {
    return -slope(c.options.choice("slope"), head, c.at("q").size(2), c.options.integer("layer_index"),
                  c.options.integer("num_layers"));
  });
}

}  // namespace

MixerType lightning_type() {
  const OptionSpec slopes =
      OptionSpec::choice("slope", "geometric", {"geometric", "linear"},
                         "geometric: 2^(-8(h+1)/H) (1 - l/(L-1)); linear: (8h/H)(1 - l/L), head 0 never decays");
  return scan_mixer({.name = "lightning",
                     .heads = head_options(8, 64, 64),
                     .options = {slopes},
                     .output_norm = "merged",
                     .output_gate = "sigmoid",
                     .activation = Unary::silu,
                     .core = lightning_core,
                     .recurrence = {.formula = "S = exp(-slope(h)) S + k v^T, o = S^T q",
                                    .recurrence = {.gate = Gate::scalar},
                                    .streams = qkv_streams({scalar_gate_stream(false)}),
                                    .options = {slopes, OptionSpec::integer("layer_index", 0, 0, "l"),
                                                OptionSpec::integer("num_layers", 1, 1, "L")},
                                    .run = run_lightning,
                                    .default_scale = unit_scale}});
}

}  // namespace og

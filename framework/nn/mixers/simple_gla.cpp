// Simple gated linear attention: S = a S + k v^T with one data-dependent decay a head and token,
// log a = log_sigmoid(W x + b) / 16 (the scalar case of GLA, arXiv 2312.06635); per-head RMS norm, silu gate.
#include "framework/nn/mixers/mixers.h"
#include "framework/nn/mixers/scan_mixer.h"

namespace og {

namespace {

ScanCore simple_gla_core(const LayerContext& context, const Options& o) {
  const ColumnLinear gate(context, "gk_proj", o.integer("num_heads"), true);
  return {
      .streams = [gate, divisor = o.real("gate_logit_normalizer")](StepContext& step, const Value& x, ScanStreams& s) {
        s.g = scale(step.tape, apply(step.tape, Unary::log_sigmoid, gate(step, x)), 1.0 / divisor);
      }};
}

}  // namespace

MixerType simple_gla_type() {
  return scan_mixer({.name = "simple_gla",
                     .heads = head_options(8, 64, 64),
                     .options = {gate_divisor_option()},
                     .core = simple_gla_core,
                     .recurrence = {.formula = "S = exp(g) S + k v^T, o = S^T q",
                                    .recurrence = {.gate = Gate::scalar},
                                    .streams = qkv_streams({scalar_gate_stream()})}});
}

}  // namespace og

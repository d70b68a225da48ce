// Gated linear attention (arXiv 2312.06635): S = Diag(a) S + k v^T with a decay per key channel,
// log a = log_sigmoid(W2 W1 x + b) / 16, rank 16; per-head RMS norm, silu gate.
#include "framework/nn/mixers/mixers.h"
#include "framework/nn/mixers/scan_mixer.h"

namespace og {

namespace {

ScanCore gla_core(const LayerContext& context, const Options& o) {
  const int64_t k = o.integer("head_k_dim");
  const LowRankLinear gate(context, "gk_proj", o.integer("gate_low_rank_dim"), o.integer("num_heads") * k);
  return {.streams = [gate, k, divisor = o.real("gate_logit_normalizer")](StepContext& step, const Value& x,
                                                                          ScanStreams& s) {
    const Value logits = to_heads(step, gate(step, x), k);
    s.g = scale(step.tape, apply(step.tape, Unary::log_sigmoid, logits), 1.0 / divisor);
  }};
}

}  // namespace

MixerType gla_type() {
  return scan_mixer({.name = "gla",
                     .heads = head_options(4, 64, 128),
                     .options = {gate_divisor_option(),
                                 OptionSpec::integer("gate_low_rank_dim", 16, 1, "rank of the gate's projection")},
                     .core = gla_core,
                     .recurrence = {.formula = "S = Diag(exp(g)) S + k v^T, o = S^T q",
                                    .recurrence = {.gate = Gate::diagonal},
                                    .streams = qkv_streams({diagonal_gate_stream()})}});
}

}  // namespace og

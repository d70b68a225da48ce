// Retention (arXiv 2307.08621): S = gamma_h S + k v^T, gamma_h = 1 - 2^(-5-h), with rotary positions on q and k,
// per-head RMS norm and a silu gate. The paper's xPos scaling is left out, as all later releases leave it out.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/mixers/scan_mixer.h"
#include "framework/ops/gates.h"
#include "framework/ops/rope.h"

namespace og {

namespace {

double log_decay(int64_t head) { return std::log1p(-std::exp2(-5.0 - static_cast<double>(head))); }

ScanCore retention_core(const LayerContext& context, const Options& o) {
  return {.streams = [decay = per_local_head(context, o.integer("num_heads"), log_decay), theta = o.real("rope_theta")](
                         StepContext& step, const Value&, ScanStreams& s) {
    if (theta > 0) {
      s.q = rope(step.tape, s.q, step.seq.start_BT, theta);
      s.k = rope(step.tape, s.k, step.seq.start_BT, theta);
    }
    s.g = constant_gate(step.tape, s.q, decay);
  }};
}

}  // namespace

MixerType retention_type() {
  MixerType type =
      scan_mixer({.name = "retention",
                  .heads = head_options(8, 64, 128),
                  .options = {OptionSpec::real("rope_theta", 10000.0, 0, "base of the rotary positions; 0: none")},
                  .core = retention_core,
                  .recurrence = {.formula = "S = gamma_h S + k v^T, gamma_h = 1 - 2^(-5 - h), o = S^T q",
                                 .recurrence = {.gate = Gate::scalar},
                                 .streams = qkv_streams({scalar_gate_stream(false)}),
                                 .run = [](const RecurrenceCall& c) { return run_scan(c, log_decay); }}});
  type.problem = [](const Options& o, int64_t hidden, int tensor) -> std::optional<Problem> {
    if (o.real("rope_theta") > 0 && o.integer("head_k_dim") % 2 != 0)
      return Problem{fmt::format("head_k_dim: rotary positions need an even width, found {}", o.integer("head_k_dim"))};
    return heads_problem(o, hidden, tensor);
  };
  return type;
}

}  // namespace og

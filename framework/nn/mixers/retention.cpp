// Retention (arXiv 2307.08621): S = gamma_h S + k v^T, gamma_h = 1 - 2^(-5-h), with rotary positions on q and k,
// per-head RMS norm and a silu gate. The paper's xPos scaling is left out, as all later releases leave it out.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/parts/projection.h"
#include "framework/ops/rope.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

double log_decay(int64_t head) { return std::log1p(-std::exp2(-5.0 - static_cast<double>(head))); }

constexpr Recurrence kRecurrence{.gate = Gate::scalar};

class Retention final : public SequenceMixer {
 public:
  Retention(const LayerContext& context, const Options& options)
      : log_decay_(per_local_head(context, options.integer("num_heads"), log_decay)),
        head_k_dim_(options.integer("head_k_dim")),
        head_v_dim_(options.integer("head_v_dim")),
        num_heads_(options.integer("num_heads")),
        rope_theta_(options.real("rope_theta")),
        qkv_(context, options, options.boolean("short_conv"), Unary::identity),
        out_(context, num_heads_, head_v_dim_, norm_of(options), gate_of(options), 1e-5) {}

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    const Value x = enter_tensor(step, x_BTD);
    Heads h = qkv_(step, x, state);
    if (rope_theta_ > 0) {
      h.q = rope(step.tape, h.q, step.seq.start_BT, rope_theta_);
      h.k = rope(step.tape, h.k, step.seq.start_BT, rope_theta_);
    }
    const double scale = 1.0 / std::sqrt(static_cast<double>(head_k_dim_));
    const Value g = constant_gate(step.tape, h.q, log_decay_);
    const Value o = scan_with_state(step.tape, kRecurrence, {.q = h.q, .k = h.k, .v = h.v, .g = g, .scale = scale},
                                    step.seq, state, "scan");
    return out_(step, o, x);
  }

 private:
  std::vector<double> log_decay_;  // of this rank's heads
  int64_t head_k_dim_, head_v_dim_, num_heads_;
  double rope_theta_;
  QkvProjection qkv_;
  MixerOutput out_;
};

}  // namespace

MixerType retention_type() {
  MixerType type;
  type.name = "retention";
  type.options = head_options(8, 64, 128);
  type.options.push_back({.name = "rope_theta",
                          .kind = OptionSpec::Kind::real,
                          .fallback = 10000.0,
                          .least = 0,
                          .help = "base of the rotary positions; 0: none"});
  type.options.push_back(conv_option(false));
  type.options.push_back(norm_option("per_head"));
  type.options.push_back(gate_option("silu"));
  type.problem = [](const Options& o, int64_t hidden, int tensor) {
    if (o.real("rope_theta") > 0 && o.integer("head_k_dim") % 2 != 0)
      return fmt::format("head_k_dim: rotary positions need an even width, found {}", o.integer("head_k_dim"));
    return heads_problem(o, hidden, tensor);
  };
  type.build = [](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<Retention>(c, o);
  };
  type.recurrence = {.formula = "S = gamma_h S + k v^T, gamma_h = 1 - 2^(-5 - h), o = S^T q",
                     .recurrence = kRecurrence,
                     .streams = qkv_streams({scalar_gate_stream(false)}),
                     .options = {},
                     .run = [](const RecurrenceCall& c) { return run_scan(c, log_decay); }};
  type.scan_shape = scan_of_heads(type.recurrence);
  return type;
}

}  // namespace og

// Simple gated linear attention: S = a S + k v^T with one data-dependent decay a head and token,
// log a = log_sigmoid(W x + b) / 16 (the scalar case of GLA, arXiv 2312.06635); per-head RMS norm, silu gate.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/parts/projection.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

constexpr Recurrence kRecurrence{.gate = Gate::scalar};

class SimpleGla final : public SequenceMixer {
 public:
  SimpleGla(const LayerContext& context, const Options& options)
      : num_heads_(options.integer("num_heads")),
        head_k_dim_(options.integer("head_k_dim")),
        head_v_dim_(options.integer("head_v_dim")),
        gate_divisor_(options.real("gate_logit_normalizer")),
        qkv_(context, options, options.boolean("short_conv"), Unary::identity),
        gate_(context, "gk_proj", num_heads_, true),
        out_(context, num_heads_, head_v_dim_, norm_of(options), gate_of(options), 1e-5) {}

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    const Value x = enter_tensor(step, x_BTD);
    const Heads h = qkv_(step, x, state);
    const Value g = scale(step.tape, apply(step.tape, Unary::log_sigmoid, gate_(step, x)), 1.0 / gate_divisor_);
    const double q_scale = 1.0 / std::sqrt(static_cast<double>(head_k_dim_));
    const Value o = scan_with_state(step.tape, kRecurrence, {.q = h.q, .k = h.k, .v = h.v, .g = g, .scale = q_scale},
                                    step.seq, state, "scan");
    return out_(step, o, x);
  }

 private:
  int64_t num_heads_, head_k_dim_, head_v_dim_;
  double gate_divisor_;
  QkvProjection qkv_;
  ColumnLinear gate_;
  MixerOutput out_;
};

}  // namespace

MixerType simple_gla_type() {
  MixerType type;
  type.name = "simple_gla";
  type.options = head_options(8, 64, 64);
  type.options.push_back(gate_divisor_option());
  type.options.push_back(conv_option(false));
  type.options.push_back(norm_option("per_head"));
  type.options.push_back(gate_option("silu"));
  type.problem = heads_problem;
  type.build = [](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<SimpleGla>(c, o);
  };
  type.recurrence = {.formula = "S = exp(g) S + k v^T, o = S^T q",
                     .recurrence = kRecurrence,
                     .streams = qkv_streams({scalar_gate_stream()})};
  type.scan_shape = scan_of_heads(type.recurrence);
  return type;
}

}  // namespace og

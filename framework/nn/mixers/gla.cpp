// Gated linear attention (arXiv 2312.06635): S = Diag(a) S + k v^T with a decay per key channel,
// log a = log_sigmoid(W2 W1 x + b) / 16, rank 16; per-head RMS norm, silu gate.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/parts/projection.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

constexpr Recurrence kRecurrence{.gate = Gate::diagonal};

class Gla final : public SequenceMixer {
 public:
  Gla(const LayerContext& context, const Options& options)
      : num_heads_(options.integer("num_heads")),
        head_k_dim_(options.integer("head_k_dim")),
        head_v_dim_(options.integer("head_v_dim")),
        gate_divisor_(options.real("gate_logit_normalizer")),
        qkv_(context, options, options.boolean("short_conv"), Unary::identity),
        gate_(context, "gk_proj", options.integer("gate_low_rank_dim"), num_heads_ * head_k_dim_),
        out_(context, num_heads_, head_v_dim_, norm_of(options), gate_of(options), 1e-5) {}

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    const Value x = enter_tensor(step, x_BTD);
    const Heads h = qkv_(step, x, state);
    const Value logits = to_heads(step, gate_(step, x), head_k_dim_);
    const Value g = scale(step.tape, apply(step.tape, Unary::log_sigmoid, logits), 1.0 / gate_divisor_);
    const double q_scale = 1.0 / std::sqrt(static_cast<double>(head_k_dim_));
    const Value o = scan_with_state(step.tape, kRecurrence, {.q = h.q, .k = h.k, .v = h.v, .g = g, .scale = q_scale},
                                    step.seq, state, "scan");
    return out_(step, o, x);
  }

 private:
  int64_t num_heads_, head_k_dim_, head_v_dim_;
  double gate_divisor_;
  QkvProjection qkv_;
  LowRankLinear gate_;
  MixerOutput out_;
};

}  // namespace

MixerType gla_type() {
  MixerType type;
  type.name = "gla";
  type.options = head_options(4, 64, 128);
  type.options.push_back(gate_divisor_option());
  type.options.push_back({.name = "gate_low_rank_dim",
                          .kind = OptionSpec::Kind::integer,
                          .fallback = int64_t{16},
                          .least = 1,
                          .help = "rank of the gate's projection"});
  type.options.push_back(conv_option(false));
  type.options.push_back(norm_option("per_head"));
  type.options.push_back(gate_option("silu"));
  type.problem = heads_problem;
  type.build = [](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<Gla>(c, o);
  };
  type.recurrence = {.formula = "S = Diag(exp(g)) S + k v^T, o = S^T q",
                     .recurrence = kRecurrence,
                     .streams = qkv_streams({diagonal_gate_stream()})};
  type.scan_shape = scan_of_heads(type.recurrence);
  return type;
}

}  // namespace og

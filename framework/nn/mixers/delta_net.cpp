// DeltaNet (arXiv 2406.06484): S = (I - beta k k^T) S + beta k v^T. q, k, v through convolutions and silu, q and k of
// unit length, beta = sigmoid(W x), doubled where eigenvalues down to -1 are wanted (arXiv 2411.12537); per-head RMS
// norm, no gate. Gated DeltaNet (arXiv 2412.06464): the same with a scalar decay a head, log a = -exp(A_log) softplus(W
// x + dt_bias), and a silu gate.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/mixers/time_step.h"
#include "framework/nn/parts/heads.h"
#include "framework/nn/parts/linear.h"
#include "framework/nn/parts/mixer_options.h"
#include "framework/nn/parts/output.h"
#include "framework/ops/norm.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

Recurrence recurrence_of(bool gated) { return {.gate = gated ? Gate::scalar : Gate::none, .delta = true}; }

class DeltaNet final : public SequenceMixer {
 public:
  DeltaNet(const LayerContext& context, const Options& options, bool gated)
      : num_heads_(options.integer("num_heads")),
        head_k_dim_(options.integer("head_k_dim")),
        head_v_dim_(options.integer("head_v_dim")),
        beta_scale_(options.boolean("allow_neg_eigval") ? 2.0 : 1.0),
        gated_(gated),
        qkv_(context, options, options.boolean("short_conv"), Unary::silu),
        beta_(context, "b_proj", num_heads_),
        out_(context, num_heads_, head_v_dim_, norm_of(options), gate_of(options), 1e-5) {
    if (gated) time_step_ = TimeStep(context, num_heads_, 0, 16);
  }

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    Tape& tape = step.tape;
    const Value x = enter_tensor(step, x_BTD);
    Heads h = qkv_(step, x, state);
    h.q = l2_norm(tape, h.q, kL2Eps);
    h.k = l2_norm(tape, h.k, kL2Eps);
    Value beta = apply(tape, Unary::sigmoid, beta_(step, x));
    if (beta_scale_ != 1.0) beta = scale(tape, beta, beta_scale_);
    const Value g = gated_ ? time_step_(step, x).g : Value();
    const double q_scale = 1.0 / std::sqrt(static_cast<double>(head_k_dim_));
    const Value o =
        scan_with_state(tape, recurrence_of(gated_), {{.q = h.q, .k = h.k, .v = h.v, .g = g, .beta = beta}, q_scale},
                        step.seq, state, "scan");
    return out_(step, o, x);
  }

 private:
  static constexpr double kL2Eps = 1e-6;
  int64_t num_heads_, head_k_dim_, head_v_dim_;
  double beta_scale_;
  bool gated_;
  QkvProjection qkv_;
  ColumnLinear beta_;
  TimeStep time_step_;
  MixerOutput out_;
};

MixerType delta_type(const char* name, bool gated) {
  MixerType type;
  type.name = name;
  type.options = gated ? head_options(6, 256, 512) : head_options(4, 128, 128);
  type.options.push_back(OptionSpec::boolean(
      "allow_neg_eigval", false, "beta in (0, 2) instead of (0, 1): eigenvalues of the transition in (-1, 1)"));
  type.options.push_back(conv_option(true));
  type.options.push_back(norm_option("per_head"));
  type.options.push_back(gate_option(gated ? "silu" : "none"));
  type.problem = heads_problem;
  type.build = [gated](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<DeltaNet>(c, o, gated);
  };
  std::vector<StreamSpec> more{write_strength_stream()};
  if (gated) more.push_back(scalar_gate_stream());
  type.recurrence = {.formula = fmt::format("S = (I - beta k k^T){} S + beta k v^T, o = S^T q", gated ? " exp(g)" : ""),
                     .recurrence = recurrence_of(gated),
                     .streams = qkv_streams(std::move(more))};
  type.scan_shape = scan_of_heads(type.recurrence);
  return type;
}

}  // namespace

MixerType delta_net_type() { return delta_type("delta_net", false); }
MixerType gated_delta_net_type() { return delta_type("gated_delta_net", true); }

}  // namespace og

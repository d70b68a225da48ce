// Mamba-2 / SSD (arXiv 2405.21060): S = a S + k v^T with k = B, q = C (shared by the heads of a group), v = dt x,
// dt = softplus(raw + dt_bias), log a = -exp(A_log) dt; a short convolution with bias and silu over x, B and C; o + D
// x; RMS norm of o silu(z) over each group's width; projection back. V is head_v_dim, K the state size head_k_dim.
#include <cmath>

#include "framework/core/rng.h"
#include "framework/nn/mixers/mixers.h"
#include "framework/nn/mixers/time_step.h"
#include "framework/nn/parts/conv.h"
#include "framework/nn/parts/heads.h"
#include "framework/nn/parts/linear.h"
#include "framework/nn/parts/mixer_options.h"
#include "framework/nn/parts/output.h"
#include "framework/ops/linear.h"
#include "framework/ops/norm.h"
#include "framework/ops/shape.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

constexpr int64_t kConvWidth = 4;

constexpr Recurrence kRecurrence{.gate = Gate::scalar};

class Mamba2 final : public SequenceMixer {
 public:
  Mamba2(const LayerContext& context, const Options& options)
      : num_heads_(options.integer("num_heads")),
        num_groups_(options.integer("num_groups")),
        head_k_dim_(options.integer("head_k_dim")),
        head_v_dim_(options.integer("head_v_dim")),
        inner_(num_heads_ * head_v_dim_),
        eps_(1e-5),
        z_(context, "z_proj", inner_),
        x_(context, "x_proj", inner_),
        time_step_(context, num_heads_, 1, 16),
        x_conv_(context, "x_conv1d", inner_, kConvWidth, true, ConvActivation::silu),
        out_(context, "out_proj", inner_) {
    // With fewer groups than tensor ranks every rank computes all of B and C.
    whole_groups_ = num_groups_ % context.tensor_size() != 0;
    const int64_t width = num_groups_ * head_k_dim_;
    for (const char* name : {"b", "c"}) {
      Parameter* weight = &context.store.add({.name = context.prefix + "." + name + "_proj.weight",
                                              .global_shape = {width, context.hidden_size},
                                              .shard = whole_groups_ ? Shard::none : Shard::tensor,
                                              .init = Init::normal(context.initializer_range),
                                              .role = ParameterRole::product,
                                              .varies_over_tensor = whole_groups_});
      ShortConv conv(context, std::string(name) + "_conv1d", width, kConvWidth, true, ConvActivation::silu,
                     whole_groups_);
      (name[0] == 'b' ? b_ : c_) = weight;
      (name[0] == 'b' ? b_conv_ : c_conv_) = conv;
    }
    skip_ = &context.add("D", {num_heads_}, Init::ones(), Shard::tensor, 0, false);
    norm_ = &context.add("norm.weight", {inner_}, Init::ones(), Shard::tensor, 0, false);
  }

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    Tape& tape = step.tape;
    const Value entered = enter_tensor(step, x_BTD);
    const Value z = z_(step, entered);
    const Value x = to_heads(step, x_conv_(step, x_(step, entered), state), head_v_dim_);
    const Value k = shared(step, entered, b_, b_conv_, x.size(2), state);
    const Value q = shared(step, entered, c_, c_conv_, x.size(2), state);
    const TimeStep::Gates gates = time_step_(step, entered);
    const Value v = multiply_rows(tape, x, gates.dt);
    Value o =
        scan_with_state(tape, kRecurrence, {{.q = q, .k = k, .v = v, .g = gates.g}, 1.0}, step.seq, state, "scan");
    o = add(tape, o, multiply_heads(tape, x, skip_->value));
    const Value gated = silu_multiply(tape, z, from_heads(step, o));
    return out_(step, norm(step, gated));
  }

 private:
  // B or C: projected, convolved, and given to every head of its group on this rank.
  Value shared(StepContext& step, const Value& x, Parameter* weight, const ShortConv& conv, int64_t local_heads,
               MixerState* state) const {
    Value y = to_heads(step, conv(step, linear(step.tape, x, weight->value), state), head_k_dim_);
    if (whole_groups_) {
      // This rank's heads lie in one group (see the type's check): read that group only.
      const int64_t heads_per_group = num_heads_ / num_groups_;
      const int64_t group = step.mesh.tensor().rank() * local_heads / heads_per_group;
      if (num_groups_ > 1) y = slice_heads(step.tape, y, group, 1);
      return repeat_heads(step.tape, y, local_heads);
    }
    return repeat_heads(step.tape, y, local_heads / y.size(2));
  }

  // RMS norm over each group's channels.
  Value norm(StepContext& step, const Value& y) const {
    if (num_groups_ == 1) return rms_norm_over_tensor(step, y, norm_->value, inner_, eps_);
    const int64_t width = inner_ / num_groups_;
    const Value groups = to_heads(step, y, width);
    const Value weight = reshape(step.tape, norm_->value, {groups.size(2), width});
    return from_heads(step, rms_norm(step.tape, groups, weight, eps_));
  }

  int64_t num_heads_, num_groups_, head_k_dim_, head_v_dim_, inner_;
  double eps_;
  bool whole_groups_ = false;
  ColumnLinear z_, x_;
  TimeStep time_step_;
  ShortConv x_conv_, b_conv_, c_conv_;
  Parameter *b_ = nullptr, *c_ = nullptr, *skip_ = nullptr, *norm_ = nullptr;
  RowLinear out_;
};

}  // namespace

MixerType mamba2_type() {
  MixerType type;
  type.name = "mamba2";
  type.options = head_options(16, 128, 64);
  type.options.push_back(OptionSpec::integer("num_groups", 1, 1, "groups of heads that share B and C"));
  type.problem = [](const Options& o, int64_t hidden, int tensor) -> std::optional<Problem> {
    const int64_t heads = o.integer("num_heads"), groups = o.integer("num_groups");
    if (heads % groups != 0)
      return Problem{fmt::format("num_heads: {} is not a multiple of num_groups = {}", heads, groups)};
    if (groups > 1 && groups % tensor != 0)
      return Problem{fmt::format("num_groups: {} groups cannot be cut over parallel.tensor = {}", groups, tensor)};
    return heads_problem(o, hidden, tensor);
  };
  type.build = [](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<Mamba2>(c, o);
  };
  type.recurrence = {.formula = "S = exp(g) S + k v^T, o = S^T q; q = C, k = B, v = dt x, without the skip D x",
                     .recurrence = kRecurrence,
                     .streams = qkv_streams({scalar_gate_stream()}),
                     .default_scale = unit_scale};
  type.scan_shape = scan_of_heads(type.recurrence);
  return type;
}

}  // namespace og

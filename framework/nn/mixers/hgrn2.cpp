// HGRN2 (arXiv 2404.07904): GLA whose key is k = 1 - a. q = silu(W_q x), v = W_i x,
// log a = log(lb + (1 - lb) sigmoid(W_f x)) with a learned lower bound lb per channel that rises with the layer; RMS
// norm over all merged heads, no gate.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/parts/heads.h"
#include "framework/nn/parts/linear.h"
#include "framework/nn/parts/mixer_options.h"
#include "framework/nn/parts/output.h"
#include "framework/ops/gates.h"
#include "framework/ops/pointwise.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

constexpr Recurrence kRecurrence{.gate = Gate::diagonal};

class Hgrn2 final : public SequenceMixer {
 public:
  Hgrn2(const LayerContext& context, const Options& options)
      : num_heads_(options.integer("num_heads")),
        head_k_dim_(options.integer("head_k_dim")),
        head_v_dim_(options.integer("head_v_dim")),
        layer_(context.layer_index),
        q_(context, "q_proj", num_heads_ * head_k_dim_),
        f_(context, "f_proj", num_heads_ * head_k_dim_),
        i_(context, "i_proj", num_heads_ * head_v_dim_),
        out_(context, num_heads_, head_v_dim_, norm_of(options), gate_of(options), 1e-5) {
    if (!options.boolean("lower_bound")) return;
    // One row a layer, shared by all HGRN2 layers of this width: layers of another width have bounds of their own.
    const int64_t width = num_heads_ * head_k_dim_;
    std::string name = "model.hgrn2_lower_bounds";
    bounds_ = context.store.find(name);
    if (bounds_ != nullptr && bounds_->record.global_shape[1] != width) {
      name += fmt::format("_{}", width);
      bounds_ = context.store.find(name);
    }
    if (bounds_ == nullptr)
      bounds_ = &context.store.add({.name = name,
                                    .global_shape = {context.num_layers, width},
                                    .shard = Shard::tensor,
                                    .shard_dim = 1,
                                    .init = Init::zeros(),
                                    .decay = false,
                                    .on_all_stages = true});
  }

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    Tape& tape = step.tape;
    const Value x = enter_tensor(step, x_BTD);
    const Value q = to_heads(step, apply(tape, Unary::silu, q_(step, x)), head_k_dim_);
    const Value v = to_heads(step, i_(step, x), head_v_dim_);
    const Value f = f_(step, x);
    const Value log_gate = bounds_ ? bounded_log_gate(tape, f, lower_bound(tape, bounds_->value, layer_))
                                   : apply(tape, Unary::log_sigmoid, f);
    const Value g = to_heads(step, log_gate, head_k_dim_);
    const Value k = apply(tape, Unary::one_minus_exp, g);
    const double q_scale = 1.0 / std::sqrt(static_cast<double>(head_k_dim_));
    const Value o =
        scan_with_state(tape, kRecurrence, {{.q = q, .k = k, .v = v, .g = g}, q_scale}, step.seq, state, "scan");
    return out_(step, o, x);
  }

 private:
  int64_t num_heads_, head_k_dim_, head_v_dim_;
  int layer_;
  ColumnLinear q_, f_, i_;
  MixerOutput out_;
  Parameter* bounds_ = nullptr;
};

}  // namespace

MixerType hgrn2_type() {
  MixerType type;
  type.name = "hgrn2";
  type.options = head_options(4, 128, 128);
  type.options.push_back(
      OptionSpec::boolean("lower_bound", true, "learned lower bound of the decay, rising with the layer"));
  type.options.push_back(norm_option("merged"));
  type.options.push_back(gate_option("none"));
  type.problem = heads_problem;
  type.build = [](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<Hgrn2>(c, o);
  };
  type.recurrence = {.formula = "S = Diag(exp(g)) S + (1 - exp(g)) v^T, o = S^T q",
                     .recurrence = kRecurrence,
                     .streams = {{.name = "q", .dims = "BTHK", .help = "queries"},
                                 {.name = "v", .dims = "BTHV", .help = "values"},
                                 diagonal_gate_stream()},
                     .options = {},
                     .run = [](const RecurrenceCall& c) {
                       const Value k = apply(c.tape, Unary::one_minus_exp, c.at("g"));
                       return run_scan(c, c.at("q"), k, c.at("v"), c.at("g"));
                     }};
  type.scan_shape = scan_of_heads(type.recurrence);
  return type;
}

}  // namespace og

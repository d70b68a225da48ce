#include "framework/nn/parts/output.h"

#include "framework/nn/parts/heads.h"
#include "framework/ops/norm.h"
#include "framework/ops/pointwise.h"
#include "parallel/mesh/collectives.h"

namespace og {

MixerOutput::MixerOutput(const LayerContext& context, int64_t num_heads, int64_t head_v_dim, OutputNorm norm,
                         OutputGate gate, double eps)
    : norm_(norm), gate_type_(gate), eps_(eps), global_width_(num_heads * head_v_dim) {
  const std::string name = context.prefix + ".o_norm.weight";
  if (norm == OutputNorm::per_head)
    norm_weight_ = &context.store.add(
        {.name = name, .global_shape = {head_v_dim}, .init = Init::ones(), .decay = false, .varies_over_tensor = true});
  if (norm == OutputNorm::merged)
    norm_weight_ = &context.add("o_norm.weight", {global_width_}, Init::ones(), Shard::tensor, 0, false);
  if (gate != OutputGate::none) gate_ = ColumnLinear(context, "g_proj", global_width_);
  out_ = RowLinear(context, "o_proj", global_width_);
}

Value MixerOutput::operator()(StepContext& step, const Value& o, const Value& x) const {
  Tape& tape = step.tape;
  Value y = norm_ == OutputNorm::per_head ? rms_norm(tape, o, norm_weight_->value, eps_) : o;
  y = from_heads(step, y);
  if (norm_ == OutputNorm::merged) y = rms_norm_over_tensor(step, y, norm_weight_->value, global_width_, eps_);
  if (gate_type_ == OutputGate::silu) y = silu_multiply(tape, gate_(step, x), y);
  if (gate_type_ == OutputGate::sigmoid) y = multiply(tape, apply(tape, Unary::sigmoid, gate_(step, x)), y);
  return out_(step, y);
}

Value rms_norm_over_tensor(StepContext& step, const Value& x, const Value& weight, int64_t global_width, double eps) {
  const Value part = mean_square(step.tape, x, Axis::tensor, global_width);
  const Value whole =
      all_reduce_to_replicated(step.tape, part, Axis::tensor, step.mesh.tensor(), Sites::tensor_forward);
  return rms_apply(step.tape, x, whole, weight, eps);
}

}  // namespace og

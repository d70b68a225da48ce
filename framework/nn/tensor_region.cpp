#include "framework/nn/tensor_region.h"

#include "framework/ops/shape.h"
#include "parallel/mesh/collectives.h"

namespace og {

namespace {}

std::vector<int64_t> tokens_of_tensor_ranks(const StepContext& step) {
  return even_extents(step.seq.num_rows * step.seq.local_length(), step.mesh.tensor().size());
}

Value enter_tensor(StepContext& step, const Value& x) {
  Comm& tensor = step.mesh.tensor();
  if (!step.mesh.sequence_norms) return enter(step.tape, x, Axis::tensor, tensor, Sites::tensor_forward);
  const Value whole = all_gather_to_replicated(step.tape, x, 0, tokens_of_tensor_ranks(step), Axis::tensor, tensor,
                                               Sites::tensor_forward);
  return reshape(step.tape, whole, {step.seq.num_rows, step.seq.local_length(), x.size(-1)});
}

Value leave_tensor(StepContext& step, const Value& y) {
  Comm& tensor = step.mesh.tensor();
  if (!step.mesh.sequence_norms)
    return all_reduce_to_invariant(step.tape, y, Axis::tensor, tensor, Sites::tensor_forward);
  const Value rows = reshape(step.tape, y, {y.size(0) * y.size(1), y.size(2)});
  return reduce_scatter(step.tape, rows, 0, tokens_of_tensor_ranks(step), Axis::tensor, tensor, Sites::tensor_forward);
}

}  // namespace og

// Hidden states between tensor-parallel regions, and the way in and out of a region.
//
//   mesh.sequence_norms   hidden states x                                        in                       out
//   false                 [B, T, D], the same on all tensor ranks                enter (a copy)           all_reduce
//   true                  [N, D], this rank's piece of the B T tokens, varying   all_gather of the rows reduce_scatter
//
// Cut, norms and residual sums are done once for each token instead of once on each tensor rank (arXiv 2205.05198); the
// bytes are the same, since an all_reduce is a reduce_scatter and an all_gather.
#pragma once

#include <vector>

#include "framework/nn/layer.h"

namespace og {

// How many of the B T tokens of this micro step each tensor rank has when they are cut.
std::vector<int64_t> tokens_of_tensor_ranks(const StepContext& step);

// x as above -> [B, T, D], replicated on tensor.
Value enter_tensor(StepContext& step, const Value& x);
// [B, T, D], partial on tensor -> x as above.
Value leave_tensor(StepContext& step, const Value& partial_BTD);

}  // namespace og

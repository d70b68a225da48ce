// How many tokens of each row of the batch chose each expert, over all ranks that hold parts of the row: what balance
// losses and capacities are computed from, so that they are the same at every layout. Site "moe.balance".
#pragma once

#include "framework/autograd/tape.h"
#include "framework/kernels/moe.h"
#include "parallel/mesh.h"

namespace og {

class ExpertLoad {
 public:
  // Starts to gather. experts_NK: the choices of this rank's tokens; rows: to which of the num_rows rows of the batch
  // they belong. Collective over mesh.sequence_and_tensor(), whose ranks hold the tokens of a row in their order.
  ExpertLoad(Tape& tape, const Tensor& experts_NK, TokenRows rows, int64_t num_rows, int64_t num_experts, Mesh& mesh);

  Tensor total_BE();   // i32: over all ranks of the row
  Tensor before_BE();  // i32: over the ranks that hold earlier tokens of the row

 private:
  Tensor sum_of_ranks(int64_t num_ranks);
  Context& cx_;
  Comm& group_;
  Tensor gathered_;  // i32 [ranks B, E]
  Shape shape_;      // [B, E]
  Pending pending_;
  bool arrived_ = false;
};

// The choices of this rank's tokens by expert, dropped or not: i32 [num_rows, E].
Tensor count_choices(Context& cx, const Tensor& experts_NK, TokenRows rows, int64_t num_rows, int64_t num_experts);

// Marks as dropped (~id) every choice that finds `capacity` choices of the same expert and row before it, in the order
// of tokens. Returns how many it dropped.
int64_t drop_over_capacity(const Tensor& experts_NK, TokenRows rows, const Tensor& before_BE, int64_t capacity);

}  // namespace og

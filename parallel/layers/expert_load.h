// How many tokens of each row of the batch chose each expert, over all ranks that hold parts of the row: what balance
// losses and capacities are computed from, so that they are the same at every layout. Site "moe.balance".
#pragma once

#include "framework/autograd/tape.h"
#include "framework/kernels/moe.h"
#include "parallel/mesh/mesh.h"
#include "parallel/sequence/context.h"

namespace og {

class ExpertLoad {
 public:
  // Starts to gather. experts_NK: the choices of this rank's tokens; rows: to which row in memory they belong.
  // Collective over mesh.sequence_and_tensor(); the tensor ranks of a sequence rank hold its tokens in their order.
  ExpertLoad(Tape& tape, const Tensor& experts_NK, TokenRows rows, const SeqContext& seq, int64_t num_experts,
             Mesh& mesh);

  Tensor total_BE();   // i32, by row of the batch: over all ranks
  Tensor before_RE();  // i32, by row in memory: over all tokens of its row of the batch before this rank's own

 private:
  // Adds the counts of group rank `from` for its row in memory to the row `to` of sums.
  void add(const Tensor& sums, int64_t to, int64_t from, int64_t row);
  void arrive();
  Context& cx_;
  Comm& group_;
  const SeqContext& seq_;
  int64_t num_experts_;
  int64_t tensor_ranks_;
  Tensor gathered_;  // i32 [ranks, num_rows, E]
  Pending pending_;
  bool arrived_ = false;
};

// The choices of this rank's tokens by expert, dropped or not: i32 [num_rows, E].
Tensor count_choices(Context& cx, const Tensor& experts_NK, TokenRows rows, int64_t num_rows, int64_t num_experts);

// Marks as dropped (~id) every choice that finds `capacity` choices of the same expert and row before it, in the order
// of tokens. Returns how many it dropped.
int64_t drop_over_capacity(const Tensor& experts_NK, TokenRows rows, const Tensor& before_BE, int64_t capacity);

}  // namespace og

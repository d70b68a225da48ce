// How many tokens of each row of the batch chose each expert, over all ranks that hold parts of the row: what balance
// losses and capacities are computed from, so that they are the same at every layout. Site "moe.balance".
#pragma once

#include "framework/autograd/tape.h"
#include "framework/kernels/route.h"
#include "parallel/mesh/mesh.h"
#include "parallel/sequence/context.h"

namespace og {

class ExpertLoad {
 public:
  // Starts to gather. experts_NK: the choices of this rank's tokens; rows: to which row in memory they belong.
  // Collective over mesh.sequence_and_tensor(); the tensor ranks of a sequence rank hold its tokens in their order.
  ExpertLoad(Tape& tape, const Tensor& experts_NK, TokenRows rows, const SeqContext& seq, int64_t num_experts,
             Mesh& mesh);

  const Tensor& own_RE() const { return own_; }  // i32, by row in memory: of this rank's tokens, dropped or not
  Tensor total_BE();                             // i32, by row of the batch: over all ranks
  // i32, by row in memory: over all tokens of its row of the batch before this rank's own.
  Tensor before_RE();

 private:
  // Gathered, as [ranks, rows of the batch, shards of a rank, E].
  Tensor by_row();
  Context& cx_;
  Comm& group_;
  const SeqContext& seq_;
  int64_t num_experts_;
  int64_t tensor_ranks_;
  Tensor own_;
  Tensor gathered_;  // i32 [ranks * num_rows, E]
  Pending pending_;
  bool arrived_ = false;
};

}  // namespace og

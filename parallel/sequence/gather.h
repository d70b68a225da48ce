// Whole rows of the sequence on every rank, and the way back: what softmax layers need of keys and values (LASP-2H).
#pragma once

#include "framework/core/context.h"
#include "parallel/sequence/transfer.h"

namespace og {

// A gather that has been started: local work can run before rows(). x [num_rows, T, ..] stays alive with it.
class SequenceGather {
 public:
  SequenceGather(Context& cx, const Tensor& x, const SeqContext& seq, Site site);
  // Waits. Tokens [0, end) of every row of the batch, in their order: [B, end, ..].
  Tensor rows(Context& cx, int64_t end);

 private:
  SeqContext seq_;
  Shape shape_;  // rows of the batch
  Tensor flat_;  // the ranks' pieces one after another
  Transfer transfer_;
};

// The adjoint, started: part [B, end, ..] is this rank's contribution to tokens [0, end); nothing to the others.
class SumToOwners {
 public:
  SumToOwners(Context& cx, const Tensor& part, const SeqContext& seq, Site site);
  // Waits. The sum of all ranks' contributions to this rank's tokens, [num_rows, T, ..].
  Tensor finish();

 private:
  Tensor own_;
  Transfer transfer_;
};

}  // namespace og

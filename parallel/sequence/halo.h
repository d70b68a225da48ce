// Rows of the sequence that other ranks hold: the ones left of a shard, which short convolutions, token shifts and
// sliding windows read, and the last ones, which are the state after the piece. Neighbours exchange them point to
// point; a shard may be shorter than what is asked for, or empty.
#pragma once

#include "framework/autograd/tape.h"
#include "parallel/sequence/context.h"

namespace og {

// The num_rows rows left of this rank's shard: x [B, T, ..] -> [B, num_rows, ..]. Rows before the sequence's first
// token are the last rows of before [B, any, ..] (a MixerState's; absent: zeros), the same on all ranks; its gradient
// is this rank's part (sequence axis: replicated). Sites halo.forward, halo.backward: gradient rows go back to their
// owners, who add them in rank order.
Value halo(Tape& tape, const Value& x, int64_t num_rows, const SeqContext& seq, const Value& before);

// The last num_rows rows of (before, the whole sequence), on every rank: the entry state of the piece that follows.
Value last_rows(Tape& tape, const Value& x, int64_t num_rows, const SeqContext& seq, const Value& before);

}  // namespace og

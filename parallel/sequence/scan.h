// The scan over a split sequence, for every recurrence: LASP-2 (arXiv 2502.07563), or another schedule of the same sums
// (parallel/sequence/states.h), as SeqContext::options says. With LASP-2:
//
// Forward: each rank summarises its piece, starts ONE all_gather of (A, B) (site mixer.forward), computes what needs no
// entry state while it flies, folds the summaries before its own into its entry state, adds the rest. Backward: the
// gradient C of its own outputs with respect to its entry state, ONE all_gather of (A, C) (mixer.backward), the states
// of its chunks meanwhile, a fold from the right, the gradients. Bytes depend on heads and head sizes, not on tokens.
// Kept for backward: the streams, the entry state, A. On one rank nothing is summarised and the collectives are empty.
// In a recomputed region entry state, A and final state are pinned: the second pass starts no collective.
#pragma once

#include "framework/ops/mixer_state.h"
#include "framework/ops/scan.h"
#include "parallel/sequence/context.h"

namespace og {

struct ScanOutput {
  Value o;            // [B,T,H,V], this rank's tokens
  Value final_state;  // [B,H,K,V] after the whole sequence, the same on every rank (sequence axis: invariant)
};

// initial_state [B,H,K,V]: before the whole sequence, invariant on the sequence axis (its gradient is the same on every
// rank: no all_reduce), absent: zero. It reaches the tokens whose document began before the sequence (start < 0).
// wants_final_state false: it is absent, and schedules that would have to send it round do not.
ScanOutput scan(Tape& tape, const Recurrence& recurrence, const ScanStreams& streams, const SeqContext& seq,
                const Value& initial_state, bool wants_final_state = true);

// The same with the state's entry `name` as initial state, if there is one; it becomes the final state.
// state null (training): from zero.
Value scan_with_state(Tape& tape, const Recurrence& recurrence, const ScanStreams& streams, const SeqContext& seq,
                      MixerState* state, const std::string& name);

}  // namespace og

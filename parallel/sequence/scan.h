// The scan over a split sequence, for every recurrence.
//
// Algebra. A piece of the sequence maps the state before it, E, to the state after it, A E + B. A and B are the piece's
// summary. Its size is fixed, and it does not depend on E. Two neighbours are a piece again: (A1, B1), then (A2, B2)
// have the summary (A2 A1, A2 B1 + B2), `combine` in framework/ops/scan.h. Rank r holds piece r of P (in zigzag order
// it holds two of 2 P). Its entry state E_r comes from the summaries of the pieces before it:
//   E_0 = initial state,   E_{r+1} = A_r E_r + B_r,   final state = E_P
// The outputs of a piece are a sum: what its own tokens give, which needs no E, and what E gives.
// Backward, D_r is the gradient of the loss with respect to the state after piece r, and C_r the part of the gradient
// of E_r that comes from the piece's own outputs. D travels from the last piece to the first:
//   D_{P-1} = gradient of the final state,   D_{r-1} = A_r^T D_r + C_r,   gradient of the initial state = D_{-1}
// The gradients of a piece's streams need its E_r and D_r, and nothing else of other ranks.
//
// Each direction takes four steps. The second is the only one that waits for others, and the third hides it.
//                forward                                  backward
//   summarise    (A, B) of the piece                      C of the piece; A is kept from forward
//   exchange     (A, B) there, E here (mixer.forward)     (A, C) there, D here (mixer.backward)
//   meanwhile    outputs without E                        the states of the piece's chunks, from E
//   finish       adds to the outputs what E gives         the gradients of the streams, from D
// How summaries travel is the method's (parallel/sequence/states.h). With LASP-2 (arXiv 2502.07563) it is ONE
// all_gather each way, and every rank folds the summaries before (backward: after) its own. Bytes depend on heads and
// head sizes, not on tokens. Methods of parallel/sequence/scan_heads.h move the streams instead.
//
// Kept for backward: the streams, E and A. On one rank nothing is summarised and the collectives are empty. In a
// recomputed region E, A and the final state are pinned: the second pass exchanges nothing.
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

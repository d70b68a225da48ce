// How the summaries of a sequence's pieces become every rank's entry state: one interface, a schedule behind it.
//   lasp2  one all_gather of all summaries, folded by every rank (arXiv 2502.07563)
//   lasp1  a chain of states from rank to rank (arXiv 2404.02882)
//   zeco   the same chain in blocks of the state's columns, so that ranks work on different blocks at once
//          (arXiv 2507.01004 cuts K, which only diagonal carries allow; columns of V are independent for every carry)
//   scan   log-depth exclusive scan: round i exchanges composed summaries over the distance 2^i
// Forward carries states from the first piece to the last. Backward is its mirror: gradients of states from the last to
// the first, through transposed transitions. Every rank calls, whatever its piece holds.
#pragma once

#include <memory>

#include "framework/ops/scan.h"
#include "parallel/sequence_context.h"

namespace og {

enum class Direction : uint8_t { forward, backward };

class StateExchange {
 public:
  virtual ~StateExchange() = default;
  struct Result {
    Tensor entry;  // what this rank's piece starts from in this direction: absent where nothing came and none was given
    Tensor total;  // after all pieces, the same on every rank; absent if it was not wanted
  };
  // Once. Blocks until both are there.
  virtual Result wait() = 0;
};

// Starts it: what needs no other rank's answer is under way when this returns. own: (A, B) of this rank's piece, or (A,
// C) backward; outside [B,H,K,V]: the state before the first piece (backward: the gradient after the last), the same on
// every rank, absent: zero.
std::unique_ptr<StateExchange> start_state_exchange(Context& cx, const SeqContext& seq, Direction direction,
                                                    const Summary& own, const Tensor& outside, bool wants_total,
                                                    Site site);

// Whether the method exchanges states at all.
bool exchanges_states(LinearMethod method);

// The schedules.
std::unique_ptr<StateExchange> start_state_gather(Context& cx, const SeqContext& seq, Direction direction,
                                                  const Summary& own, const Tensor& outside, bool wants_total,
                                                  Site site);
std::unique_ptr<StateExchange> start_state_chain(Context& cx, const SeqContext& seq, Direction direction,
                                                 const Summary& own, const Tensor& outside, bool wants_total, Site site,
                                                 int64_t blocks);
std::unique_ptr<StateExchange> start_state_scan(Context& cx, const SeqContext& seq, Direction direction,
                                                const Summary& own, const Tensor& outside, bool wants_total, Site site);

// The ranks in the order that a direction meets their pieces: step 0 is the first. Ranks are their own inverse in both.
inline int rank_at(const Comm& comm, Direction direction, int step) {
  return direction == Direction::forward ? step : comm.size() - 1 - step;
}
// The state after a piece.
inline Tensor pass(Context& cx, Direction direction, const Summary& piece, const Tensor& state) {
  return direction == Direction::forward ? advance_state(cx, piece, state) : retreat_state(cx, piece, state);
}

}  // namespace og

// How the summaries of a sequence's pieces become every rank's entry state: one interface, a schedule behind it.
//   lasp2  one all_gather of all summaries, folded by every rank (arXiv 2502.07563)
//   lasp1  a chain of states from rank to rank (arXiv 2404.02882)
//   zeco   the same chain in blocks of the state's columns, so that ranks work on different blocks at once
//          (arXiv 2507.01004 cuts K, which only diagonal carries allow; columns of V are independent for every carry)
//   scan   log-depth exclusive scan: round i exchanges composed summaries over the distance 2^i
//   hierarchical  a gather inside each host, one of the hosts' summaries across them
//   (parallel/sequence/states_hosts.cpp)
//   ring   the streams travel from rank to rank instead of summaries (parallel/sequence/states_ring.cpp)
// The algebra is in parallel/sequence/scan.h. Forward, a state passes the pieces from the first to the last: A S + B.
// Backward, the gradient of a state passes them from the last to the first: A^T D + C. Every rank calls, whatever its
// piece holds.
#pragma once

#include <memory>

#include "framework/ops/scan.h"
#include "parallel/sequence/context.h"

namespace og {

enum class Direction : uint8_t { forward, backward };

// What a rank brings. The references outlive the exchange. In zigzag order, which lasp2 alone takes, `own` holds two
// pieces, `outside` is absent and no total is wanted.
struct StateCall {
  Context& cx;
  const SeqContext& seq;
  const Recurrence& recurrence;
  const ScanTensors& streams;
  Direction direction;
  Summary own;  // this rank's piece: (A, B), or (A, C) backward
  Site site;
  // The state before the first piece or, backward, the gradient of the state after the last: [B,H,K,V], the same on
  // every rank; absent: zero.
  Tensor outside{};
  bool wants_total = false;
  Tensor d_o{};  // backward: the gradient of o

  Comm& comm() const { return *seq.comm; }
};

class StateExchange {
 public:
  virtual ~StateExchange() = default;
  struct Result {
    Tensor entry;  // what this rank's piece starts from in this direction: absent where nothing came and none was given
    Tensor total;  // after all pieces, the same on every rank; absent if it was not wanted
  };
  // Between parts of the local work: reacts to what has arrived (combines, sends on) and does not block. False: there
  // is nothing left that a reaction would speed up.
  virtual bool progress() { return false; }
  // Once. Blocks until both are there.
  virtual Result wait() = 0;

 protected:
  explicit StateExchange(const StateCall& call) : call_(call) {}
  // The ranks in the order that the direction meets their pieces: step 0 is the first. Its own inverse.
  int rank_at(int step) const { return call_.direction == Direction::forward ? step : call_.comm().size() - 1 - step; }
  int place() const { return rank_at(call_.comm().rank()); }
  bool last() const { return place() == call_.comm().size() - 1; }
  // The state after a piece, and after a run of pieces, rows of maps [.., size], in one launch; shape: the state's. Of
  // no pieces it is the state itself.
  Tensor pass(const Summary& piece, const Tensor& state) const;
  Tensor pass(const Shape& shape, const Tensor& maps, SummaryRun run, const Tensor& state) const;
  // Over the rows of maps, a rank each, that the direction meets at steps [from, to).
  Tensor fold(const Shape& shape, const Tensor& maps, int from, int to, const Tensor& state) const;
  // The map of two neighbouring pieces one after the other, in the direction's order.
  Summary compose(const Summary& first, const Summary& then) const;
  // The total, known on the last of them, on every rank.
  Tensor from_last(const Tensor& total) const;

  const StateCall call_;
};

// The schedules of the methods (parallel/sequence/methods.h). What needs no other rank's answer is under way when these
// return.
std::unique_ptr<StateExchange> start_state_gather(const StateCall& call);
std::unique_ptr<StateExchange> start_state_chain(const StateCall& call, int64_t blocks);
std::unique_ptr<StateExchange> start_state_scan(const StateCall& call);
std::unique_ptr<StateExchange> start_state_hosts(const StateCall& call);
std::unique_ptr<StateExchange> start_state_ring(const StateCall& call);

}  // namespace og

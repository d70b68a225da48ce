#include "parallel/sequence/states.h"

namespace og {

Tensor StateExchange::pass(const Summary& piece, const Tensor& state) const {
  return call_.direction == Direction::forward ? advance_state(call_.cx, piece, state)
                                               : retreat_state(call_.cx, piece, state);
}

Summary StateExchange::compose(const Summary& first, const Summary& then) const {
  if (call_.direction == Direction::forward) return combine(call_.cx, first, then);
  // Backward meets the right piece first: d -> A_left^T (A_right^T d + C_right) + C_left, with A = A_right A_left.
  Summary both = combine(call_.cx, then, first);
  both.b.copy_from(pass(then, first.b));
  return both;
}

Tensor StateExchange::from_last(const Tensor& total) const {
  const Tensor all = last() ? total : call_.cx.empty(call_.own.b.shape(), call_.own.b.dtype());
  call_.comm().broadcast(all, rank_at(call_.comm().size() - 1), call_.site).wait();
  return all;
}

}  // namespace og

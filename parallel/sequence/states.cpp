#include "parallel/sequence/states.h"

namespace og {

Tensor StateExchange::pass(const Shape& shape, const Tensor& maps, SummaryRun run, const Tensor& state) const {
  if (run.count == 0) return state;
  return call_.direction == Direction::forward ? advance_states(call_.cx, shape, maps, run, state)
                                               : retreat_states(call_.cx, shape, maps, run, state);
}

Tensor StateExchange::pass(const Summary& piece, const Tensor& state) const {
  return call_.direction == Direction::forward ? advance_state(call_.cx, piece, state)
                                               : retreat_state(call_.cx, piece, state);
}

Tensor StateExchange::fold(const Shape& shape, const Tensor& maps, int from, int to, const Tensor& state) const {
  const bool forward = call_.direction == Direction::forward;
  const int64_t first = forward ? from : maps.size(0) - 1 - from;
  return pass(shape, maps, {.first = first, .step = forward ? 1 : -1, .count = to - from}, state);
}

Summary StateExchange::compose(const Summary& first, const Summary& then) const {
  // Backward meets the right piece first: d -> A_left^T (A_right^T d + C_right) + C_left, with A = A_right A_left.
  return call_.direction == Direction::forward ? combine(call_.cx, first, then)
                                               : combine_backward(call_.cx, then, first);
}

Tensor StateExchange::from_last(const Tensor& total) const {
  const Tensor all = last() ? total : call_.cx.empty(call_.own.b.shape(), call_.own.b.dtype());
  call_.comm().broadcast(all, rank_at(call_.comm().size() - 1), call_.site).wait();
  return all;
}

}  // namespace og

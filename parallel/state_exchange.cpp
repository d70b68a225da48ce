#include "parallel/state_exchange.h"

namespace og {

namespace {

// Blocks of the chain: enough that ranks overlap, few enough that a message is worth its latency.
constexpr int64_t kChainBlocks = 4;

}  // namespace

Tensor StateExchange::pass(const Summary& piece, const Tensor& state) const {
  return call_.direction == Direction::forward ? advance_state(call_.cx, piece, state)
                                               : retreat_state(call_.cx, piece, state);
}

Tensor StateExchange::from_last(const Tensor& total) const {
  const Tensor all = last() ? total : call_.cx.empty(call_.own.b.shape(), call_.own.b.dtype());
  call_.comm.broadcast(all, rank_at(call_.comm.size() - 1), call_.site).wait();
  return all;
}

bool exchanges_states(LinearMethod method) {
  return method == LinearMethod::lasp2 || method == LinearMethod::lasp1 || method == LinearMethod::zeco ||
         method == LinearMethod::scan;
}

std::unique_ptr<StateExchange> start_state_exchange(LinearMethod method, const StateCall& call) {
  switch (method) {
    case LinearMethod::lasp2:
      return start_state_gather(call);
    case LinearMethod::lasp1:
      return start_state_chain(call, 1);
    case LinearMethod::zeco:
      return start_state_chain(call, kChainBlocks);
    case LinearMethod::scan:
      return start_state_scan(call);
    default:
      OG_CHECK(exchanges_states(method), "sequence method {} exchanges no states", name_of(method));
      return nullptr;
  }
}

}  // namespace og

#include "parallel/state_exchange.h"

namespace og {

namespace {

// Blocks of the chain: enough that ranks overlap, few enough that a message is worth its latency.
constexpr int64_t kChainBlocks = 4;

}  // namespace

bool exchanges_states(LinearMethod method) {
  return method == LinearMethod::lasp2 || method == LinearMethod::lasp1 || method == LinearMethod::zeco ||
         method == LinearMethod::scan;
}

std::unique_ptr<StateExchange> start_state_exchange(Context& cx, const SeqContext& seq, Direction direction,
                                                    const Summary& own, const Tensor& outside, bool wants_total,
                                                    Site site) {
  switch (seq.options.linear) {
    case LinearMethod::lasp2:
      return start_state_gather(cx, seq, direction, own, outside, wants_total, site);
    case LinearMethod::lasp1:
      return start_state_chain(cx, seq, direction, own, outside, wants_total, site, 1);
    case LinearMethod::zeco:
      return start_state_chain(cx, seq, direction, own, outside, wants_total, site, kChainBlocks);
    case LinearMethod::scan:
      return start_state_scan(cx, seq, direction, own, outside, wants_total, site);
    default:
      OG_CHECK(exchanges_states(seq.options.linear), "sequence method {} exchanges no states",
               name_of(seq.options.linear));
      return nullptr;
  }
}

}  // namespace og

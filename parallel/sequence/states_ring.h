// Ring Attention (arXiv 2310.01889) for linear layers, in the linear form: the streams themselves travel from rank to
// rank, and every rank summarises each block that it meets (right product first), where LASP-2 sends summaries. Forward
// a block is k, v and gates; backward, the other way round, q, the gradient of o, gates and, with the delta rule, k. A
// block stops at the last rank of the direction, so of C tokens of n numbers the last one receives C n (P - 1).
#pragma once

#include <functional>
#include <vector>

#include "parallel/sequence/states.h"

namespace og {

// What travels: first a tensor of fixed shape (it may be empty), then streams [B, T, ..] of a rank's tokens.
using RingBlock = std::vector<Tensor>;
using Summarise = std::function<Summary(const RingBlock&)>;

// first: as in SeqContext; it outlives the exchange.
std::unique_ptr<StateExchange> start_state_ring(const StateCall& call, const RingBlock& own,
                                                const std::vector<int64_t>& first, Summarise summarise);

}  // namespace og

// What an exchange costs over a link: the one model that `onegather plan` adds up and `auto` compares. Latency is per
// message, bandwidth one way and per rank; n: the bytes that one rank gives, P ranks.
//
// What counts is which message waits for another. In the gathers and sums of this program's transports every rank sends
// what it has to all others at once (parallel/comm/mpi.cpp): their messages are under way together, so the group waits
// for one latency and for what its links carry. In chains, rounds and rings a message answers the one before, and each
// has its own latency.
//   all_gather, reduce_scatter  latency + (P - 1) n / bandwidth
//   all_to_all                  latency + n (P - 1) / P / bandwidth, n for all ranks together
//   all_reduce                  a reduce_scatter and an all_gather of n / P
//   chain in J blocks           (P + J - 2)(latency + n / J / bandwidth)   (ZeCO, arXiv 2507.01004)
//   rounds of log depth         (ceil(log2 P) + 1)(latency + n / bandwidth), the last a shift by one rank
//   hops                        (latency + n / bandwidth) each
//   levels                      a gather inside a host, one of the hosts' n, and n handed to the host's other ranks
// A transport that gathers round a ring, as NCCL does, carries the same bytes and waits for P - 1 latencies. Published
// gathers on 8 to 256 GPUs lie nearer to one (docs/plan.md).
#pragma once

#include "parallel/comm/comm.h"

namespace og {

struct Link {
  double latency = 0;    // seconds
  double bandwidth = 1;  // bytes/s
  double message(double bytes) const { return latency + bytes / bandwidth; }
};

// The links of a group. Unless told, orders of magnitude and not as measured: what is chosen by them must be the same
// on all ranks and in every start of a run.
struct GroupLinks {
  int ranks = 1, hosts = 1;
  Link inside{5e-6, 8e9}, across{30e-6, 2.5e9};
  const Link& widest() const { return hosts > 1 ? across : inside; }
};

// What the rank that receives the most receives. On one rank all are zero.
struct ExchangeCost {
  double calls = 0, bytes = 0, seconds = 0;
};
using ExchangeLaw = ExchangeCost (*)(const GroupLinks& links, double n);

ExchangeCost all_gather_cost(const GroupLinks& links, double n);
ExchangeCost reduce_scatter_cost(const GroupLinks& links, double n);
ExchangeCost all_to_all_cost(const GroupLinks& links, double n);
ExchangeCost all_reduce_cost(const GroupLinks& links, double n);
ExchangeCost message_cost(const GroupLinks& links, double n);
// What one call of the verb costs; a broadcast as one message.
ExchangeLaw law_of(Verb verb);

ExchangeCost chain_cost(const GroupLinks& links, double n, int blocks);
// The number of blocks that makes the chain fastest: sqrt((P - 2) n / (latency bandwidth)), at least 1.
int best_chain_blocks(const GroupLinks& links, double n);
ExchangeCost rounds_cost(const GroupLinks& links, double n);
ExchangeCost hops_cost(const GroupLinks& links, double n, int hops);
ExchangeCost levels_cost(const GroupLinks& links, double n);

}  // namespace og

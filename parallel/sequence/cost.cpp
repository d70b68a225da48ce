#include "parallel/sequence/cost.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel/sequence/states.h"

namespace og {

namespace {

// All messages at once: one latency.
double gather_seconds(const Link& link, int ranks, double bytes_of_one) {
  return ranks == 1 ? 0 : link.latency + (ranks - 1) * bytes_of_one / link.bandwidth;
}
double exchange_seconds(const Link& link, int ranks, double bytes) {
  return ranks == 1 ? 0 : link.latency + bytes * (ranks - 1) / ranks / link.bandwidth;
}

}  // namespace

double method_seconds(LinearMethod method, const GroupLinks& links, const LayerTraffic& x) {
  const Link& link = links.widest();
  const int ranks = links.ranks;
  const double n = x.summary_bytes;
  // Forward and backward: all of them go on under the work that needs no other rank.
  const auto exposed = [&](double seconds) { return 2 * std::max(0.0, seconds - x.local_seconds); };
  switch (method) {
    case LinearMethod::lasp2:
      return exposed(gather_seconds(link, ranks, n));
    case LinearMethod::lasp1:
      return exposed(chain_seconds(link, ranks, n, 1));
    case LinearMethod::zeco:
      return exposed(chain_seconds(link, ranks, n, kChainBlocks));
    case LinearMethod::scan:
      return exposed(link.message(n) + log_scan_seconds(link, ranks, n));
    case LinearMethod::hierarchical: {
      const int inside = (ranks + links.hosts - 1) / links.hosts;
      return exposed(gather_seconds(links.inside, inside, n) + gather_seconds(links.across, links.hosts, n) +
                     (links.hosts > 1 ? links.inside.message(n) : 0));
    }
    case LinearMethod::ring:
      return exposed((ranks - 1) * link.message(x.key_bytes));
    case LinearMethod::ulysses:
      return 2 * exchange_seconds(link, ranks, x.stream_bytes);
    case LinearMethod::megatron:
      return 2 * gather_seconds(link, ranks, x.stream_bytes);
  }
  return std::numeric_limits<double>::infinity();
}

double method_seconds(SoftmaxMethod method, const GroupLinks& links, const LayerTraffic& x, SequenceOrder order) {
  const Link& link = links.widest();
  const int ranks = links.ranks;
  const double most = order == SequenceOrder::zigzag ? 1 : 2 - 1.0 / ranks;  // work of the busiest rank over the mean
  switch (method) {
    case SoftmaxMethod::all_gather_kv:
      return 3 * x.local_seconds * most + 3 * gather_seconds(link, ranks, x.key_bytes);
    case SoftmaxMethod::ring:
      // Blocks hide behind the work on the one before.
      return 3 * std::max(x.local_seconds * most, (ranks - 1) * link.message(x.key_bytes));
    case SoftmaxMethod::ulysses:
      if (!x.whole_heads || order == SequenceOrder::zigzag) return std::numeric_limits<double>::infinity();
      return 3 * x.local_seconds + 2 * exchange_seconds(link, ranks, x.stream_bytes);
  }
  return std::numeric_limits<double>::infinity();
}

}  // namespace og

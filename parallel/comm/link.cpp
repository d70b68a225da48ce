#include "parallel/comm/link.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace og {

namespace {

double gather_seconds(const Link& link, int ranks, double n) { return ranks == 1 ? 0 : link.message((ranks - 1) * n); }

}  // namespace

ExchangeCost all_gather_cost(const GroupLinks& links, double n) {
  if (links.ranks == 1) return {};
  return {1, (links.ranks - 1) * n, gather_seconds(links.widest(), links.ranks, n)};
}

ExchangeCost reduce_scatter_cost(const GroupLinks& links, double n) { return all_gather_cost(links, n); }

ExchangeCost all_to_all_cost(const GroupLinks& links, double n) { return all_gather_cost(links, n / links.ranks); }

ExchangeCost all_reduce_cost(const GroupLinks& links, double n) {
  const ExchangeCost half = reduce_scatter_cost(links, n / links.ranks);
  return {half.calls, 2 * half.bytes, 2 * half.seconds};
}

ExchangeCost message_cost(const GroupLinks& links, double n) { return hops_cost(links, n, 1); }

ExchangeLaw law_of(Verb verb) {
  switch (verb) {
    case Verb::all_gather:
      return all_gather_cost;
    case Verb::reduce_scatter:
      return reduce_scatter_cost;
    case Verb::all_to_all:
      return all_to_all_cost;
    case Verb::all_reduce:
      return all_reduce_cost;
    default:
      return message_cost;
  }
}

// All but the ends of a chain receive and send.
ExchangeCost chain_cost(const GroupLinks& links, double n, int blocks) {
  const int ranks = links.ranks;
  if (ranks == 1) return {};
  return {static_cast<double>(blocks) * (ranks > 2 ? 2 : 1), n,
          (ranks + blocks - 2) * links.widest().message(n / blocks)};
}

int best_chain_blocks(const GroupLinks& links, double n) {
  const Link& link = links.widest();
  const double best = std::sqrt((links.ranks - 2) * n / (link.latency * link.bandwidth));
  return links.ranks <= 2 ? 1 : std::max(1, static_cast<int>(std::lround(best)));
}

ExchangeCost rounds_cost(const GroupLinks& links, double n) {
  return hops_cost(links, n, std::bit_width(static_cast<unsigned>(links.ranks - 1)) + 1);
}

ExchangeCost hops_cost(const GroupLinks& links, double n, int hops) {
  if (links.ranks == 1) return {};
  return {static_cast<double>(hops), hops * n, hops * links.widest().message(n)};
}

ExchangeCost levels_cost(const GroupLinks& links, double n) {
  const int hosts = links.hosts, local = (links.ranks + hosts - 1) / hosts;
  if (hosts == 1) return all_gather_cost(links, n);
  return {1, (local - 1 + hosts - 1) * n,
          gather_seconds(links.inside, local, n) + gather_seconds(links.across, hosts, n) +
              (local > 1 ? links.inside.message(n) : 0)};
}

}  // namespace og

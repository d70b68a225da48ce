#include "parallel/sequence/cost.h"

#include <algorithm>
#include <limits>

namespace og {

namespace {

// What the pass's work does not hide of an exchange of n bytes.
double exposed(const MethodExchange& exchange, const GroupLinks& links, double n, double work) {
  return std::max(0.0, exchange.cost(links, n).seconds - work * share_of(exchange.meanwhile, links.ranks));
}

}  // namespace

double method_seconds(const LinearRow& method, const GroupLinks& links, const LayerTraffic& x) {
  const double n = method.travels == Travels::summaries ? x.summary_bytes
                   : method.travels == Travels::pieces  ? x.key_bytes
                                                        : x.stream_bytes;
  return 2 * exposed(method.exchange, links, n, x.local_seconds);
}

double busiest(const SoftmaxRow& method, SequenceOrder order, int ranks) {
  return method.whole_heads || order == SequenceOrder::zigzag ? 1 : 2 - 1.0 / ranks;
}

double method_seconds(const SoftmaxRow& method, const GroupLinks& links, const LayerTraffic& x, SequenceOrder order) {
  if (method.zigzag_problem && order == SequenceOrder::zigzag) return std::numeric_limits<double>::infinity();
  if (method.whole_heads && !x.whole_heads) return std::numeric_limits<double>::infinity();
  const double work = x.local_seconds * busiest(method, order, links.ranks);
  const double n = method.whole_heads ? x.stream_bytes : x.key_bytes;
  double seconds = 3 * work + exposed(method.forward, links, n, work) + exposed(method.backward, links, n, 2 * work);
  if (method.gradients) seconds += exposed(*method.gradients, links, n, 2 * work);
  return seconds;
}

}  // namespace og

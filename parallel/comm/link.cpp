#include "parallel/comm/link.h"

#include <algorithm>
#include <cmath>

namespace og {

double all_gather_seconds(const Link& link, int ranks, double bytes_of_one) {
  return (ranks - 1) * link.message(bytes_of_one);
}

double reduce_scatter_seconds(const Link& link, int ranks, double bytes_of_one) {
  return (ranks - 1) * link.message(bytes_of_one);
}

double all_reduce_seconds(const Link& link, int ranks, double bytes) {
  return 2 * reduce_scatter_seconds(link, ranks, bytes / ranks);
}

double all_to_all_seconds(const Link& link, int ranks, double bytes) {
  return (ranks - 1) * link.message(bytes / ranks);
}

double chain_seconds(const Link& link, int ranks, double bytes, int blocks) {
  return ranks == 1 ? 0 : (ranks + blocks - 2) * link.message(bytes / blocks);
}

int best_chain_blocks(const Link& link, int ranks, double bytes) {
  const double best = std::sqrt((ranks - 2) * bytes / (link.latency * link.bandwidth));
  return ranks <= 2 ? 1 : std::max(1, static_cast<int>(std::lround(best)));
}

double log_scan_seconds(const Link& link, int ranks, double bytes) {
  return std::ceil(std::log2(static_cast<double>(ranks))) * link.message(bytes);
}

}  // namespace og

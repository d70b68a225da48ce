// What collectives cost over a link, in seconds: the model that `onegather plan` adds up. Latency is per message,
// bandwidth one way and per rank. Ring algorithms, P ranks:
//   all_gather, reduce_scatter  (P - 1)(latency + n / bandwidth), n bytes of one rank
//   all_reduce                  twice a reduce_scatter of n / P
//   all_to_all                  (P - 1) latency + n (P - 1) / P / bandwidth, n bytes that a rank has for all
//   chain in J blocks (ZeCO, arXiv 2507.01004)  (P + J - 2)(latency + n / J / bandwidth)
//   scan of log depth           ceil(log2 P)(latency + n / bandwidth)
#pragma once

namespace og {

struct Link {
  double latency = 0;    // seconds
  double bandwidth = 1;  // bytes/s
  double message(double bytes) const { return latency + bytes / bandwidth; }
};

double all_gather_seconds(const Link& link, int ranks, double bytes_of_one);
double reduce_scatter_seconds(const Link& link, int ranks, double bytes_of_one);
double all_reduce_seconds(const Link& link, int ranks, double bytes);
double all_to_all_seconds(const Link& link, int ranks, double bytes);
double chain_seconds(const Link& link, int ranks, double bytes, int blocks);
// The number of blocks that makes the chain fastest: sqrt((P - 2) n / (latency bandwidth)), at least 1.
int best_chain_blocks(const Link& link, int ranks, double bytes);
double log_scan_seconds(const Link& link, int ranks, double bytes);

}  // namespace og

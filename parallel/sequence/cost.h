// What a method of a split sequence costs a layer, forward and backward, in seconds: what `auto` compares. Over a group
// of P ranks on h hosts, with n bytes of a summary and s bytes of streams of a rank's tokens; our transports post all
// messages of a gather at once, so it waits for one latency:
//   lasp2         latency + (P - 1) n / bandwidth
//   lasp1, zeco   chain_seconds (parallel/comm/link.h), of 1 and 4 blocks
//   scan          log_scan_seconds + a message
//   hierarchical  a gather inside a host + one of h summaries across + a state inside
//   ring          (P - 1) messages of s
//   ulysses       all_to_all of the streams; megatron a gather of them
// twice, for there and back; of all but the last two only what local work does not hide.
// Softmax layers: all_gather_kv and ring as above with the bytes of K and V; and all but ulysses and zigzag order wait
// for the rank with the most keys, which has (2 - 1 / P) times the mean.
#pragma once

#include "parallel/comm/link.h"
#include "parallel/mesh/sequence_options.h"

namespace og {

// The links of a group, as orders of magnitude and not as measured: the choice must be the same on all ranks and in
// every start of a run.
struct GroupLinks {
  int ranks = 1, hosts = 1;
  Link inside{5e-6, 8e9}, across{30e-6, 2.5e9};
  const Link& widest() const { return hosts > 1 ? across : inside; }
};

// What one rank has in one layer, forward.
struct LayerTraffic {
  double summary_bytes = 0;  // linear layers
  double stream_bytes = 0;   // all streams and o, over this rank's tokens
  double key_bytes = 0;      // K and V, or k, v and gates
  double local_seconds = 0;  // work that needs no other rank
  bool whole_heads = true;   // the heads divide by the ranks
};

double method_seconds(LinearMethod method, const GroupLinks& links, const LayerTraffic& layer);
double method_seconds(SoftmaxMethod method, const GroupLinks& links, const LayerTraffic& layer, SequenceOrder order);

}  // namespace og

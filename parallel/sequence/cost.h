// What a method of a split sequence costs a layer, forward and backward, in seconds: what `auto` compares. Each
// method's row (parallel/sequence/methods.h) says what it exchanges, by which law of parallel/comm/link.h and behind
// which local work; counted is what that work does not hide, and for softmax layers the work itself: in contiguous
// order the rank with the most keys has (2 - 1 / P) times the mean.
#pragma once

#include "parallel/sequence/methods.h"

namespace og {

// What one rank has in one layer, forward.
struct LayerTraffic {
  double summary_bytes = 0;  // linear layers
  double stream_bytes = 0;   // all streams and o, over this rank's tokens
  double key_bytes = 0;      // K and V, or k, v and gates
  double local_seconds = 0;  // work that needs no other rank
  bool whole_heads = true;   // the heads divide by the ranks
};

double method_seconds(const LinearRow& method, const GroupLinks& links, const LayerTraffic& layer);
// Infinite where the method cannot.
double method_seconds(const SoftmaxRow& method, const GroupLinks& links, const LayerTraffic& layer,
                      SequenceOrder order);

// Causal work of the busiest rank over the mean.
double busiest(const SoftmaxRow& method, SequenceOrder order, int ranks);

}  // namespace og

// Softmax attention over a split sequence.
//
// All keys (LASP-2H, arXiv 2502.07563 section 3.3): one all_gather of K and one of V over the sequence axis; while they
// fly, queries attend to the keys of their own shard; then to those of the shards before it, and the two results merge.
// Backward gathers again unless the gathered tensors were kept, with the gradients inside the shard in between, and
// reduce-scatters dK and dV. Received per rank and direction: (P - 1) / P of N (K + V) per key head.
// Sliding window: the window - 1 rows of K and V left of the shard (halo.h), nothing else.
#pragma once

#include "framework/ops/attention.h"
#include "framework/ops/mixer_state.h"
#include "parallel/sequence/context.h"

namespace og {

struct SequenceAttentionOptions {
  AttentionOptions attention{};
  // Key heads are gathered in groups whose K and V of the whole sequence take at most this; at least one head a group.
  int64_t gather_bytes = int64_t{1} << 30;
  bool keep_gathered = false;  // for backward, instead of gathering again
};

// q [B,T,H,K], k [B,T,G,K], v [B,T,G,V], this rank's tokens -> [B,T,H,V]. Sites attention.forward, attention.backward
// (halo.forward, halo.backward with a window).
// state: entries "keys" [B,S,G,K] and "values" [B,S,G,V], the S tokens before this piece (absent: none; with a window
// at most window - 1), the same on every rank; on return the tokens up to the end of the piece. The entries are new
// tensors each time, so a copied state stays as it was.
Value sequence_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                         const SequenceAttentionOptions& options, const SeqContext& seq, MixerState* state);

}  // namespace og

// All-to-all between the two ways to cut streams of heads over the sequence ranks: every rank some tokens of all heads,
// [B, T local, H, D], or all tokens of some heads, [B, T, heads, D]. Ranks may ask for the same head: then it is sent
// to each, and on the way back (gradients) their parts are summed in the order of the ranks.
#pragma once

#include <vector>

#include "framework/core/context.h"
#include "parallel/sequence/transfer.h"

namespace og {

struct HeadRange {
  int64_t begin = 0, end = 0;
  int64_t count() const { return end - begin; }
};

// Heads [begin, end) of x [B, T, G, D]; all of them: x itself.
Tensor take_heads(Context& cx, const Tensor& x, int64_t begin, int64_t end);

// A started all-to-all; finish once.
class HeadExchange {
 public:
  // x [B, T local, H, D] -> [B, T, heads[rank], D]
  static HeadExchange to_heads(Context& cx, const Tensor& x, const std::vector<HeadRange>& heads, const SeqContext& seq,
                               Site site);
  Tensor finish_heads(Context& cx);

  // y [B, T, heads[rank], D] -> into x [B, T local, H, D]. Put::write: what no rank has becomes zero.
  static HeadExchange to_tokens(Context& cx, const Tensor& y, const std::vector<HeadRange>& heads,
                                const SeqContext& seq, Site site);
  void finish_tokens(Context& cx, const Tensor& x, Put put);

 private:
  // sent: the range of dim `dim` of x, tokens or heads, that each rank is sent.
  HeadExchange(Context& cx, const Tensor& x, const std::vector<HeadRange>& heads, const SeqContext& seq, int dim,
               const std::vector<HeadRange>& sent, const std::vector<int64_t>& received, Site site);

  std::vector<HeadRange> heads_;
  std::vector<int64_t> first_;
  size_t rank_ = 0;
  int64_t batch_ = 0, width_ = 0;
  Tensor received_;  // flat, by rank
  Transfer transfer_;
};

}  // namespace og

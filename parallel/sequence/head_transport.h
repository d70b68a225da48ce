// The two ways from this rank's tokens of all heads to all tokens of its heads, and back, for streams [B, T, H, D]:
//   exchange  an all-to-all each way (head_exchange.h), as DeepSpeed-Ulysses does
//   gather    every rank gathers the tokens of all heads and takes its own; back, a reduce_scatter, as Megatron-LM does
// All are started where they are made and waited for where they are finished; with SeqContext::options.overlap off they
// are waited for where they start.
#pragma once

#include <optional>

#include "parallel/sequence/gather.h"
#include "parallel/sequence/head_exchange.h"
#include "parallel/sequence/methods.h"

namespace og {

// The heads of each rank, of `count` in all. Ranks may hold the same head: then its parts are summed on the way back.
struct HeadPlan {
  HeadTransport transport = HeadTransport::exchange;
  int64_t count = 0;
  std::vector<HeadRange> of;
};
// Shares differ by at most one and may be empty.
std::vector<HeadRange> shares_of_heads(int64_t count, int num_ranks);

// x [B, T local, H, D] -> [B, T, own heads, D]; x absent: so is the result.
class ToHeads {
 public:
  ToHeads(Context& cx, const Tensor& x, const HeadPlan& heads, const SeqContext& seq, Site site);
  Tensor finish(Context& cx);

 private:
  HeadRange own_;
  int64_t length_;
  std::optional<HeadExchange> exchange_;
  std::optional<SequenceGather> gather_;
};

// y [B, T, own heads, D] -> into x [B, T local, H, D].
class ToTokens {
 public:
  ToTokens(Context& cx, const Tensor& y, const HeadPlan& heads, const SeqContext& seq, Site site);
  void finish(Context& cx, const Tensor& x, Put put);

 private:
  std::optional<HeadExchange> exchange_;
  std::optional<SumToOwners> sum_;
};

}  // namespace og

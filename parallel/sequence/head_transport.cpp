#include "parallel/sequence/head_transport.h"

#include "framework/ops/ranges.h"

namespace og {

std::vector<HeadRange> shares_of_heads(int64_t count, int num_ranks) {
  const std::vector<int64_t> first = split_evenly(count, num_ranks);
  std::vector<HeadRange> shares;
  for (size_t r = 0; r + 1 < first.size(); ++r) shares.push_back({first[r], first[r + 1]});
  return shares;
}

ToHeads::ToHeads(Context& cx, const Tensor& x, const HeadPlan& heads, const SeqContext& seq, Site site)
    : own_(heads.of[static_cast<size_t>(seq.comm->rank())]), length_(seq.length) {
  if (!x.defined()) return;
  if (heads.transport == HeadTransport::exchange)
    exchange_ = HeadExchange::to_heads(cx, x, heads.of, seq, site);
  else
    gather_.emplace(cx, x, seq, site);
}

Tensor ToHeads::finish(Context& cx) {
  if (!exchange_ && !gather_) return {};
  return exchange_ ? exchange_->finish_heads(cx) : take_heads(cx, gather_->rows(cx, length_), own_.begin, own_.end);
}

ToTokens::ToTokens(Context& cx, const Tensor& y, const HeadPlan& heads, const SeqContext& seq, Site site) {
  if (heads.transport == HeadTransport::exchange) {
    exchange_ = HeadExchange::to_tokens(cx, y, heads.of, seq, site);
    return;
  }
  const Tensor whole = cx.zeros({y.size(0), y.size(1), heads.count, y.size(3)}, y.dtype());
  const HeadRange& own = heads.of[static_cast<size_t>(seq.comm->rank())];
  if (y.count() > 0) move_range(cx.stream, 2, whole, own.begin, Put::write, y, 0, own.count());
  sum_.emplace(cx, whole, seq, site);
}

void ToTokens::finish(Context& cx, const Tensor& x, Put put) {
  if (exchange_)
    exchange_->finish_tokens(cx, x, put);
  else
    move_into(cx.stream, x, put, sum_->finish());
}

}  // namespace og

#include "parallel/sequence/head_exchange.h"

#include <numeric>

#include "framework/ops/ranges.h"

namespace og {

namespace {

Shape with_extent(Shape shape, int dim, int64_t extent) {
  shape.set(dim, extent);
  return shape;
}

// The elements of a flat tensor from `begin` on, in this shape.
Tensor part_of(const Tensor& flat, int64_t begin, const Shape& shape) {
  return flat.slice(begin, begin + shape.count()).reshape(shape);
}

}  // namespace

Tensor take_heads(Context& cx, const Tensor& x, int64_t begin, int64_t end) {
  return begin == 0 && end == x.size(2) ? x : copy_range(cx, 2, x, begin, end);
}

HeadExchange::HeadExchange(Context& cx, const Tensor& x, const std::vector<HeadRange>& heads, const SeqContext& seq,
                           int dim, const std::vector<HeadRange>& sent, const std::vector<int64_t>& received, Site site)
    : heads_(heads),
      first_(seq.first),
      rank_(static_cast<size_t>(seq.comm->rank())),
      batch_(x.size(0)),
      width_(x.size(3)) {
  std::vector<int64_t> counts;
  for (const HeadRange& range : sent) counts.push_back(with_extent(x.shape(), dim, range.count()).count());
  const Tensor out = cx.empty({std::reduce(counts.begin(), counts.end())}, x.dtype());
  int64_t begin = 0;
  for (const HeadRange& range : sent) {
    const Tensor part = part_of(out, begin, with_extent(x.shape(), dim, range.count()));
    move_range(cx.stream, dim, part, 0, Put::write, x, range.begin, range.count());
    begin += part.count();
  }
  received_ = cx.empty({std::reduce(received.begin(), received.end())}, x.dtype());
  transfer_ = {seq.comm->all_to_all(received_, received, out, counts, site), seq};
}

HeadExchange HeadExchange::to_heads(Context& cx, const Tensor& x, const std::vector<HeadRange>& heads,
                                    const SeqContext& seq, Site site) {
  const int64_t token = x.size(0) * x.size(3), own = heads[static_cast<size_t>(seq.comm->rank())].count();
  std::vector<int64_t> received;
  for (size_t r = 0; r < heads.size(); ++r) received.push_back(token * (seq.first[r + 1] - seq.first[r]) * own);
  return {cx, x, heads, seq, 2, heads, received, site};
}

Tensor HeadExchange::finish_heads(Context& cx) {
  transfer_.wait();
  const Tensor y = cx.empty({batch_, first_.back(), heads_[rank_].count(), width_}, received_.dtype());
  int64_t begin = 0;
  for (size_t r = 0; r + 1 < first_.size(); ++r) {
    const int64_t count = first_[r + 1] - first_[r];
    const Tensor part = part_of(received_, begin, with_extent(y.shape(), 1, count));
    move_range(cx.stream, 1, y, first_[r], Put::write, part, 0, count);
    begin += part.count();
  }
  received_ = {};
  return y;
}

HeadExchange HeadExchange::to_tokens(Context& cx, const Tensor& y, const std::vector<HeadRange>& heads,
                                     const SeqContext& seq, Site site) {
  const int64_t token = y.size(0) * y.size(3);
  std::vector<HeadRange> sent;  // tokens of each rank
  std::vector<int64_t> received;
  for (size_t r = 0; r < heads.size(); ++r) {
    sent.push_back({seq.first[r], seq.first[r + 1]});
    received.push_back(token * seq.local_length() * heads[r].count());
  }
  return {cx, y, heads, seq, 1, sent, received, site};
}

void HeadExchange::finish_tokens(Context& cx, const Tensor& x, Put put) {
  transfer_.wait();
  if (put == Put::write) x.fill(0);
  int64_t begin = 0;
  for (const HeadRange& heads : heads_) {
    const Tensor part = part_of(received_, begin, with_extent(x.shape(), 2, heads.count()));
    move_range(cx.stream, 2, x, heads.begin, Put::add, part, 0, heads.count());
    begin += part.count();
  }
  received_ = {};
}

}  // namespace og

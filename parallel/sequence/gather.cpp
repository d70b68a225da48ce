#include "parallel/sequence/gather.h"

#include <algorithm>
#include <cstring>

namespace og {

namespace {

// Rows in memory times tokens, of each rank.
std::vector<int64_t> tokens_of_ranks(const SeqContext& seq) {
  std::vector<int64_t> tokens;
  for (int rank = 0; rank < seq.comm->size(); ++rank) {
    const auto shard = static_cast<size_t>(rank);
    tokens.push_back(seq.num_rows * (seq.first[shard + 1] - seq.first[shard]));
  }
  return tokens;
}

// The same tokens in two orders: flat (rank by rank, in each the rows that it holds) and rows of the batch [B, end,
// ..]. f(flat offset, offset, count), all in tokens, for the runs of tokens < end.
template <class F>
void for_each_run(const SeqContext& seq, int64_t end, F&& f) {
  int64_t flat = 0;
  for (int rank = 0; rank < seq.comm->size(); ++rank)
    for (int64_t row = 0; row < seq.num_rows; ++row) {
      const auto shard = static_cast<size_t>(seq.shard_of(row, rank));
      const int64_t begin = seq.first[shard], length = seq.first[shard + 1] - begin;
      const int64_t count = std::min(end - begin, length);
      if (count > 0) f(flat, row / seq.shards_of_rank() * end + begin, count);
      flat += length;
    }
}

Shape with_rows(Shape shape, int64_t rows) {
  shape.set(1, rows);
  return shape;
}

int64_t batch_of(const SeqContext& seq) { return seq.num_rows / seq.shards_of_rank(); }
// One row in its order.
bool flat_is_rows(const SeqContext& seq) { return seq.num_rows == 1; }

}  // namespace

SequenceGather::SequenceGather(Context& cx, const Tensor& x, const SeqContext& seq, Site site)
    : seq_(seq), shape_(x.shape()) {
  const int64_t inner = x.shape().count_from(2);
  OG_CHECK(x.size(0) == seq.num_rows && x.size(1) == seq.local_length(),
           "gather: {} where this rank holds {} rows of {} tokens", x.shape().str(), seq.num_rows, seq.local_length());
  shape_.set(0, batch_of(seq));
  flat_ = cx.empty({batch_of(seq) * seq.length, inner}, x.dtype());
  transfer_ = {seq.comm->all_gather(flat_, x.reshape({x.size(0) * x.size(1), inner}), tokens_of_ranks(seq), site), seq};
}

Tensor SequenceGather::rows(Context& cx, int64_t end) {
  transfer_.wait();
  if (flat_is_rows(seq_)) return flat_.slice(0, end).reshape(with_rows(shape_, end));
  const Tensor out = cx.empty(with_rows(shape_, end), flat_.dtype());
  const int64_t token = shape_.count_from(2) * size_of(flat_.dtype());
  for_each_run(seq_, end, [&](int64_t from, int64_t to, int64_t count) {
    std::memcpy(out.raw() + to * token, flat_.raw() + from * token, static_cast<size_t>(count * token));
  });
  return out;
}

SumToOwners::SumToOwners(Context& cx, const Tensor& part, const SeqContext& seq, Site site) {
  const int64_t end = part.size(1), inner = part.shape().count_from(2);
  const int64_t token = inner * size_of(part.dtype());
  Tensor flat;
  if (flat_is_rows(seq) && end == seq.length) {
    flat = part.reshape({end, inner});
  } else {
    flat = cx.zeros({part.size(0) * seq.length, inner}, part.dtype());
    for_each_run(seq, end, [&](int64_t to, int64_t from, int64_t count) {
      std::memcpy(flat.raw() + to * token, part.raw() + from * token, static_cast<size_t>(count * token));
    });
  }
  Shape shape = with_rows(part.shape(), seq.local_length());
  shape.set(0, seq.num_rows);
  own_ = cx.empty(shape, part.dtype());
  transfer_ = {seq.comm->reduce_scatter(own_.reshape({shape[0] * shape[1], inner}), flat, tokens_of_ranks(seq), site),
               seq};
}

Tensor SumToOwners::finish() {
  transfer_.wait();
  return own_;
}

Tensor gather_starts(Context& cx, const SeqContext& seq, Site site) {
  const Tensor places = seq.start_BT.clone(*cx.pool);
  for (int64_t i = 0; i < places.count(); ++i)
    places.data<int32_t>()[i] += static_cast<int32_t>(seq.begin(i / seq.local_length()));
  return SequenceGather(cx, places, seq, site).rows(cx, seq.length);
}

}  // namespace og

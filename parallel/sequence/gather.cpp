#include "parallel/sequence/gather.h"

#include <algorithm>

#include "framework/ops/ranges.h"

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

// The same tokens in two orders: flat [tokens, inner], rank by rank, in each the rows that it holds; and rows of the
// batch [B, end, inner]. f(a rank's piece as [B, its shards, inner], where its shard begins there, where in the rows,
// tokens of it before `end`), shard by shard.
template <class F>
void for_each_shard(const SeqContext& seq, const Tensor& flat, int64_t end, F&& f) {
  const int64_t shards = seq.shards_of_rank(), batch = seq.num_rows / shards;
  int64_t at = 0;
  for (int rank = 0; rank < seq.comm->size(); ++rank) {
    const auto own = static_cast<size_t>(rank);
    const int64_t length = seq.first[own + 1] - seq.first[own], rows = seq.num_rows * length;
    const Tensor piece = flat.slice(at, at + rows).reshape({batch, shards * length, flat.size(1)});
    at += rows;
    for (int64_t shard = 0; shard < shards; ++shard) {
      const int64_t begin = seq.first[static_cast<size_t>(seq.shard_of(shard, rank))];
      const int64_t count = std::min(end - begin, length);
      if (count > 0) f(piece, shard * length, begin, count);
    }
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
  const Tensor rows = out.reshape({shape_[0], end, flat_.size(1)});
  for_each_shard(seq_, flat_, end, [&](const Tensor& piece, int64_t from, int64_t to, int64_t count) {
    move_range(cx.stream, 1, rows, to, Put::write, piece, from, count);
  });
  return out;
}

SumToOwners::SumToOwners(Context& cx, const Tensor& part, const SeqContext& seq, Site site) {
  const int64_t end = part.size(1), inner = part.shape().count_from(2);
  Tensor flat;
  if (flat_is_rows(seq) && end == seq.length) {
    flat = part.reshape({end, inner});
  } else {
    flat = cx.zeros({part.size(0) * seq.length, inner}, part.dtype());
    const Tensor rows = part.reshape({part.size(0), end, inner});
    for_each_shard(seq, flat, end, [&](const Tensor& piece, int64_t to, int64_t from, int64_t count) {
      move_range(cx.stream, 1, piece, to, Put::write, rows, from, count);
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

}  // namespace og

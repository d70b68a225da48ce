#include "parallel/sequence_gather.h"

#include <algorithm>
#include <cstring>

namespace og {

namespace {

std::vector<int64_t> rows_of_ranks(const std::vector<int64_t>& first, int64_t batch) {
  std::vector<int64_t> rows;
  for (size_t r = 0; r + 1 < first.size(); ++r) rows.push_back(batch * (first[r + 1] - first[r]));
  return rows;
}

// The same tokens in two orders: flat (rank by rank, in each row by row) and [B, end, ..]. f(flat offset, offset,
// count), all in tokens, for the runs of tokens < end.
template <class F>
void for_each_run(const std::vector<int64_t>& first, int64_t batch, int64_t end, F&& f) {
  for (size_t r = 0; r + 1 < first.size(); ++r) {
    const int64_t begin = first[r], length = first[r + 1] - begin, count = std::min(end - begin, length);
    if (count <= 0) continue;
    for (int64_t b = 0; b < batch; ++b) f(batch * begin + b * length, b * end + begin, count);
  }
}

Shape with_rows(Shape shape, int64_t rows) {
  shape.set(1, rows);
  return shape;
}

}  // namespace

SequenceGather::SequenceGather(Context& cx, const Tensor& x, const SeqContext& seq, Site site)
    : first_(seq.first), shape_(x.shape()) {
  const int64_t batch = x.size(0), inner = x.shape().count_from(2);
  OG_CHECK(x.size(1) == seq.local_length(), "gather: {} where this rank holds {} tokens", x.shape().str(),
           seq.local_length());
  flat_ = cx.empty({batch * first_.back(), inner}, x.dtype());
  pending_ = seq.comm->all_gather(flat_, x.reshape({batch * x.size(1), inner}), rows_of_ranks(first_, batch), site);
  if (!seq.options.overlap) wait();
}

void SequenceGather::wait() {
  if (pending_) pending_->wait();
  pending_.reset();
}

Tensor SequenceGather::rows(Context& cx, int64_t end) {
  wait();
  const int64_t batch = shape_[0];
  if (batch == 1) return flat_.slice(0, end).reshape(with_rows(shape_, end));
  const Tensor out = cx.empty(with_rows(shape_, end), flat_.dtype());
  const int64_t token = shape_.count_from(2) * size_of(flat_.dtype());
  for_each_run(first_, batch, end, [&](int64_t from, int64_t to, int64_t count) {
    std::memcpy(out.raw() + to * token, flat_.raw() + from * token, static_cast<size_t>(count * token));
  });
  return out;
}

Tensor sum_to_owners(Context& cx, const Tensor& part, const SeqContext& seq, Site site) {
  const int64_t batch = part.size(0), end = part.size(1), inner = part.shape().count_from(2);
  const int64_t token = inner * size_of(part.dtype());
  Tensor flat;
  if (batch == 1 && end == seq.first.back()) {
    flat = part.reshape({end, inner});
  } else {
    flat = cx.zeros({batch * seq.first.back(), inner}, part.dtype());
    for_each_run(seq.first, batch, end, [&](int64_t to, int64_t from, int64_t count) {
      std::memcpy(flat.raw() + to * token, part.raw() + from * token, static_cast<size_t>(count * token));
    });
  }
  const Tensor own = cx.empty(with_rows(part.shape(), seq.local_length()), part.dtype());
  seq.comm
      ->reduce_scatter(own.reshape({batch * seq.local_length(), inner}), flat, rows_of_ranks(seq.first, batch), site)
      .wait();
  return own;
}

Tensor gather_starts(Context& cx, const SeqContext& seq, Site site) {
  const Tensor places = cx.empty(seq.start_BT.shape(), DType::i32);
  for (int64_t i = 0; i < places.count(); ++i)
    places.data<int32_t>()[i] = seq.start_BT.data<const int32_t>()[i] + static_cast<int32_t>(seq.begin());
  return SequenceGather(cx, places, seq, site).rows(cx, seq.length);
}

}  // namespace og

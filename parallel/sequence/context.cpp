#include "parallel/sequence/context.h"

#include "framework/ops/ranges.h"

#include <algorithm>

namespace og {

Tensor own_columns(Pool& pool, const SeqContext& seq, const Tensor& x) {
  const int64_t local = seq.local_length(), shards = seq.shards_of_rank();
  const Tensor out = Tensor::empty(pool, {x.size(0), shards * local}, DType::i32);
  for (int64_t s = 0; s < shards; ++s) move_range({}, 1, out, s * local, Put::write, x, seq.begin(s), local);
  return out.reshape({seq.num_rows, local});
}

SeqContext make_seq_context(Pool& pool, Comm& comm, int64_t num_rows, int64_t length, const Tensor& row_starts,
                            const SequenceOptions& options) {
  SeqContext seq;
  seq.comm = &comm;
  seq.options = options;
  if (comm.size() == 1) seq.options.order = SequenceOrder::contiguous;
  seq.num_rows = num_rows * seq.shards_of_rank();
  seq.length = length;
  seq.first = split_evenly(length, comm.size() * seq.shards_of_rank());
  OG_CHECK(!seq.zigzag() || length % seq.num_shards() == 0, "zigzag: rows of {} tokens in {} shards", length,
           seq.num_shards());
  seq.single_document = !row_starts.defined();
  OG_CHECK(seq.single_document || (row_starts.shape() == Shape({num_rows, length}) && row_starts.dtype() == DType::i32),
           "sequence context: document starts {} {} for {} rows of {}", name_of(row_starts.dtype()),
           row_starts.shape().str(), num_rows, length);
  const int64_t local = seq.local_length();
  if (row_starts.defined()) {
    const auto* row = row_starts.data<const int32_t>();
    seq.single_document = std::all_of(row, row + row_starts.count(), [](int32_t start) { return start == 0; });
    seq.row_starts_BT = row_starts;
    seq.start_BT = own_columns(pool, seq, row_starts);
  } else {
    seq.start_BT = Tensor::full(pool, {seq.num_rows, local}, DType::i32, 0);
  }
  auto* start = seq.start_BT.data<int32_t>();
  for (int64_t i = 0; i < seq.start_BT.count(); ++i) start[i] -= static_cast<int32_t>(seq.begin(i / local));
  return seq;
}

}  // namespace og

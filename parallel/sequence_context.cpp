#include "parallel/sequence_context.h"

#include <algorithm>

namespace og {

std::vector<int64_t> split_evenly(int64_t length, int num_ranks) {
  std::vector<int64_t> first{0};
  for (int r = 0; r < num_ranks; ++r) first.push_back(first.back() + length / num_ranks + (r < length % num_ranks));
  return first;
}

SeqContext make_seq_context(Pool& pool, Comm& comm, int64_t num_rows, int64_t length, const Tensor& row_starts_BT) {
  SeqContext seq;
  seq.comm = &comm;
  seq.num_rows = num_rows;
  seq.length = length;
  seq.first = split_evenly(length, comm.size());
  const int64_t begin = seq.begin(), local = seq.local_length();
  seq.start_BT = Tensor::empty(pool, {num_rows, local}, DType::i32);
  auto* out = seq.start_BT.data<int32_t>();
  if (!row_starts_BT.defined()) {
    seq.single_document = true;
    std::fill_n(out, num_rows * local, static_cast<int32_t>(-begin));
    return seq;
  }
  OG_CHECK(row_starts_BT.shape() == Shape({num_rows, length}) && row_starts_BT.dtype() == DType::i32,
           "sequence context: document starts {} {} for {} rows of {}", name_of(row_starts_BT.dtype()),
           row_starts_BT.shape().str(), num_rows, length);
  const auto* row = row_starts_BT.data<const int32_t>();
  seq.single_document = std::all_of(row, row + row_starts_BT.count(), [](int32_t start) { return start == 0; });
  for (int64_t b = 0; b < num_rows; ++b)
    for (int64_t t = 0; t < local; ++t) out[b * local + t] = row[b * length + begin + t] - static_cast<int32_t>(begin);
  return seq;
}

}  // namespace og

// SeqContext: which piece of which rows this rank holds. One object goes to every layer: scans, convolutions,
// attention, positions and losses all read borders from here and from nowhere else.
//
// A batch is B rows of `length` tokens. The sequence axis cuts every row into shards: shard s is the tokens [first[s],
// first[s + 1]). Order contiguous: rank r holds shard r; shards need not be equal and may be empty. Order zigzag: 2 P
// equal shards, of which rank r holds the r-th from either end, so that causal softmax layers have as much to do on
// every rank; each row of the batch is then two rows in memory, [2 B, length / 2 P], the earlier shard first.
// Documents: start_BT[b, t] is the place of the first token of token t's document, relative to this rank's own first
// token; negative if the document began on an earlier rank (or, when decoding, before this piece). Token t's position
// in its document is t - start_BT[b, t]; tokens i >= j of a row are in the same document iff j >= start_BT[b, i].
#pragma once

#include <vector>

#include "framework/core/tensor.h"
#include "parallel/comm/comm.h"
#include "parallel/mesh/extents.h"
#include "parallel/mesh/sequence_options.h"

namespace og {

struct SeqContext {
  Comm* comm = nullptr;        // the sequence axis; never null (a self comm where there is one rank)
  int64_t num_rows = 0;        // in memory: B, or 2 B in zigzag order
  int64_t length = 0;          // T of the whole row, over all ranks
  std::vector<int64_t> first;  // shards + 1 entries
  Tensor start_BT;             // i32 [num_rows, local length], relative to the first token of the row's shard
  Tensor row_starts_BT;        // i32 [B, length], of whole rows in their order, as places in the row; see row_starts()
  bool single_document = false;  // every row is one document that begins at its token 0: start_BT[b, t] == -begin()
  SequenceOptions options{};

  bool zigzag() const { return options.order == SequenceOrder::zigzag; }
  int shards_of_rank() const { return zigzag() ? 2 : 1; }  // each row of the batch has so many shards on a rank
  int num_shards() const { return static_cast<int>(first.size()) - 1; }
  int owner(int shard) const { return shard < comm->size() ? shard : num_shards() - 1 - shard; }
  // The shard that a row in memory is, on this rank or another.
  int shard_of(int64_t row, int rank) const { return zigzag() && row % 2 == 1 ? num_shards() - 1 - rank : rank; }
  int shard_of(int64_t row) const { return shard_of(row, comm->rank()); }
  // The place in its row of the first token of a row in memory.
  int64_t begin(int64_t row = 0) const { return first[static_cast<size_t>(shard_of(row))]; }
  // Where documents begin in whole rows of the batch. Every rank has been told; nothing travels.
  const Tensor& row_starts() const {
    const Tensor& starts = comm->size() == 1 ? start_BT : row_starts_BT;
    OG_CHECK(starts.defined(), "sequence context: made without the document starts of whole rows");
    return starts;
  }
  int64_t local_length() const {
    const auto shard = static_cast<size_t>(comm->rank());
    return first[shard + 1] - first[shard];
  }
};

// Columns of rows of the batch [B, length] i32 that this rank holds, [num_rows, local length].
Tensor own_columns(Pool& pool, const SeqContext& seq, const Tensor& x_BT);

// row_starts: for each of B rows the start of each token's document, [B, length] in row coordinates (absent: one
// document a row). Cuts it to this rank's piece.
// num_rows: B. On one rank the order is always contiguous.
SeqContext make_seq_context(Pool& pool, Comm& comm, int64_t num_rows, int64_t length, const Tensor& row_starts_BT,
                            const SequenceOptions& options = {});

}  // namespace og

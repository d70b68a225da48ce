// SeqContext: which piece of which rows this rank holds. One object goes to every layer: scans, convolutions,
// attention, positions and losses all read borders from here and from nowhere else.
//
// A batch is B rows of `length` tokens. The sequence axis cuts every row contiguously: rank r holds tokens
// [first[r], first[r + 1]) of each row. Shards need not be equal and may be empty.
// Documents: start_BT[b, t] is the place of the first token of token t's document, relative to this rank's own first
// token; negative if the document began on an earlier rank (or, when decoding, before this piece). Token t's position
// in its document is t - start_BT[b, t]; tokens i >= j of a row are in the same document iff j >= start_BT[b, i].
#pragma once

#include <vector>

#include "framework/core/tensor.h"
#include "parallel/comm.h"
#include "parallel/sequence_method.h"

namespace og {

struct SeqContext {
  Comm* comm = nullptr;          // the sequence axis; never null (a self comm where there is one rank)
  int64_t num_rows = 0;          // B
  int64_t length = 0;            // T of the whole row, over all ranks
  std::vector<int64_t> first;    // size() + 1 entries
  Tensor start_BT;               // i32 [B, local length]
  bool single_document = false;  // every row is one document that begins at its token 0: start_BT[b, t] == -begin()
  SequenceOptions options{};

  int64_t begin() const { return first[static_cast<size_t>(comm->rank())]; }
  int64_t local_length() const { return first[static_cast<size_t>(comm->rank()) + 1] - begin(); }
};

// Cuts `length` tokens over the ranks: sizes differ by at most one, longer ones first.
std::vector<int64_t> split_evenly(int64_t length, int num_ranks);

// row_starts: for each of B rows the start of each token's document, [B, length] in row coordinates (absent: one
// document a row). Cuts it to this rank's piece.
SeqContext make_seq_context(Pool& pool, Comm& comm, int64_t num_rows, int64_t length, const Tensor& row_starts_BT);

}  // namespace og

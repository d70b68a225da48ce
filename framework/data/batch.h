// Batch: rows of tokens as the loader gives them, whole rows in global order. Places are in row coordinates; which part
// of a row a rank works on is decided later (parallel/sequence/context.h).
//
// A document is read from the end-of-document token on, which opens it with a fresh state and whose target is the
// document's first token; the target of a document's last token is the end-of-document token again.
#pragma once

#include <functional>

#include "framework/core/tensor.h"

namespace og {

struct Batch {
  Tensor tokens_BT;          // i32 [rows, length]
  Tensor targets_BT;         // i32 [rows, length]; -1: no target (what fills the last row of an evaluation)
  Tensor starts_BT;          // i32 [rows, length]: place where each token's document begins in this row
  int64_t valid_tokens = 0;  // targets that are not -1
};

// Rows [first, first + count) of the run, in their global order.
using RowSource = std::function<Batch(int64_t first, int64_t count)>;

}  // namespace og

// Batch: rows of tokens as the loader gives them, whole rows in global order. Places are in row coordinates; which part
// of a row a rank works on is decided later (parallel/sequence_context.h).
#pragma once

#include "framework/core/tensor.h"

namespace og {

struct Batch {
  Tensor tokens_BT;          // i32 [rows, length]
  Tensor targets_BT;         // i32 [rows, length]; -1: no target (the next token belongs to another document)
  Tensor starts_BT;          // i32 [rows, length]: place of the first token of each token's document in this row
  int64_t valid_tokens = 0;  // targets that are not -1
};

}  // namespace og

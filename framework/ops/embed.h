// Embedding lookup on the tape.
#pragma once

#include "framework/autograd/tape.h"

namespace og {

// tokens_BT i32, weight [V, D] holding the rows [first_row, first_row + V) of the vocabulary: y [B, T, D], zeros for
// tokens of other rows. place: of the result.
Value embed(Tape& tape, const Value& weight_VD, const Tensor& tokens_BT, int64_t first_row, const Placement& place);

}  // namespace og

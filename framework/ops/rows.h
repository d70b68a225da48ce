// Rows of values on the tape: joined along tokens, and a rank's own part of what all ranks have.
#pragma once

#include "framework/autograd/tape.h"

namespace og {

// [B, S, ..] and [B, T, ..] -> [B, S + T, ..].
Value concat_rows(Tape& tape, const Value& a, const Value& b);

// Rows [begin, end) of dim 0 of a value that is replicated on `axis`, where each rank may take others: varying there.
Value own_slice(Tape& tape, const Value& x, int64_t begin, int64_t end, Axis axis);

}  // namespace og

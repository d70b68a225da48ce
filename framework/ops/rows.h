// Rows (dim 1) of values [B, T, ..] on the tape.
#pragma once

#include "framework/autograd/tape.h"

namespace og {

// [B, S, ..] and [B, T, ..] -> [B, S + T, ..].
Value concat_rows(Tape& tape, const Value& a, const Value& b);

}  // namespace og

// Products with weight matrices on the tape. Weights are [out, in], as in Hugging Face files.
#pragma once

#include <vector>

#include "framework/autograd/tape.h"

namespace og {

// y [.., O] = x [.., I] w [O, I]^T. exact: f32 products even where the stream asks for bf16 (routers).
Value linear(Tape& tape, const Value& x, const Value& w, bool exact = false);

// The same where I is cut over `split`: each rank's product is a partial sum on that axis.
Value linear_split(Tape& tape, const Value& x, const Value& w, Axis split);

// A product per expert: rows [row_begin[e], row_begin[e + 1]) of x [R, I] with w [E, O, I]. Any expert may have no
// rows; its weight gradient is then zero.
Value grouped_linear(Tape& tape, const Value& x, const Value& w, const std::vector<int64_t>& row_begin);

}  // namespace og

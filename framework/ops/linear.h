// Products with weight matrices on the tape. Weights are [out, in], as in Hugging Face files.
#pragma once

#include "framework/autograd/tape.h"

namespace og {

// y [.., O] = x [.., I] w [O, I]^T. exact: f32 products even where the stream asks for bf16 (routers).
Value linear(Tape& tape, const Value& x, const Value& w, bool exact = false);

// The same where I is cut over `split`: each rank's product is a partial sum on that axis.
Value linear_split(Tape& tape, const Value& x, const Value& w, Axis split);

// A product per expert: rows [begin_e, begin_(e + 1)) of x [R, I] with w [E, O, I]; borders i64 [E + 1], from 0. Any
// expert may have no rows; its weight gradient is then zero. Rows after the last border belong to none: zeros in y, and
// nothing flows back to them.
Value grouped_linear(Tape& tape, const Value& x, const Value& w, const Tensor& row_begin_E);

}  // namespace og

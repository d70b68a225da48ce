// Norms on the tape. Shapes [.., D]; the norm is over the last dim.
#pragma once

#include "framework/autograd/tape.h"

namespace og {

// RMS norm with weight [D], or [H, D] for x [.., H, D] (a weight row per head). arXiv 1910.07467.
Value rms_norm(Tape& tape, const Value& x, const Value& weight, double eps);

// x / sqrt(x.x + eps) over the last dim.
Value l2_norm(Tape& tape, const Value& x, double eps);

// For a norm whose width is cut over an axis: this rank's part of mean(x^2), [..] partial on `split`. global_width: of
// all ranks.
Value mean_square(Tape& tape, const Value& x, Axis split, int64_t global_width);
// The rest of that norm: x / sqrt(ms + eps) * weight, ms [..] summed over the ranks, weight [D] this rank's part.
Value rms_apply(Tape& tape, const Value& x, const Value& ms, const Value& weight, double eps);

}  // namespace og

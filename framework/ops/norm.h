// Norms on the tape. Shapes [.., D]; the norm is over the last dim.
#pragma once

#include "framework/autograd/tape.h"

namespace og {

// RMS norm with weight [D], or [H, D] for x [.., H, D] (a weight row per head). arXiv 1910.07467.
Value rms_norm(Tape& tape, const Value& x, const Value& weight, double eps);

}  // namespace og

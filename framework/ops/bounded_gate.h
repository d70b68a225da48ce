// The decay of HGRN2 (arXiv 2404.07904).
#pragma once

#include "framework/autograd/tape.h"

namespace og {

// free [L, C]: lb_c = sum over layers 1 .. layer of softmax over the L layers, so that layer 0 has none and lb rises
// with depth.
Value lower_bound(Tape& tape, const Value& free_LC, int layer);

// x [.., C], lb [C] in [0, 1): g = log(lb + (1 - lb) sigmoid(x)), computed as logaddexp(log lb, log(1 - lb) + log
// sigmoid(x)).
Value bounded_log_gate(Tape& tape, const Value& x, const Value& lb_C);

}  // namespace og

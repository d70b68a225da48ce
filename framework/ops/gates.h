// Gates that mixers make of more than one function of one number.
#pragma once

#include <span>

#include "framework/autograd/tape.h"

namespace og {

// A gate that depends on the head alone: log_decay[h] <= 0 for every token, [B,T,H], a constant of x's rows and place.
Value constant_gate(Tape& tape, const Value& x_BTHD, std::span<const double> log_decay);

// The decay of HGRN2 (arXiv 2404.07904).
// free [L, C]: lb_c = sum over layers 1 .. layer of softmax over the L layers, so that layer 0 has none and lb rises
// with depth.
Value lower_bound(Tape& tape, const Value& free_LC, int layer);
// x [.., C], lb [C] in [0, 1): g = log(lb + (1 - lb) sigmoid(x)).
Value bounded_log_gate(Tape& tape, const Value& x, const Value& lb_C);

}  // namespace og

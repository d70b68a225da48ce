// Pointwise ops on the tape. No broadcasting but by the named ops.
#pragma once

#include "framework/autograd/tape.h"
#include "framework/kernels/pointwise.h"

namespace og {

Value apply(Tape& tape, Unary f, const Value& x);
Value add(Tape& tape, const Value& a, const Value& b);       // same shape
Value multiply(Tape& tape, const Value& a, const Value& b);  // same shape
Value scale(Tape& tape, const Value& x, double c);
Value silu_multiply(Tape& tape, const Value& gate, const Value& up);  // silu(gate) up (SwiGLU, arXiv 2002.05202)
Value add_bias(Tape& tape, const Value& x, const Value& b_D);         // [.., D] + [D]
Value multiply_last(Tape& tape, const Value& x, const Value& w_D);    // [.., D] * [D]
Value multiply_rows(Tape& tape, const Value& x, const Value& s);      // [.., D] * [..]: one factor a row
Value multiply_heads(Tape& tape, const Value& x, const Value& w_H);   // [.., H, D] * [H]

}  // namespace og

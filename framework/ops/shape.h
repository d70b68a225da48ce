// Ops that move elements and compute nothing. Any placement passes through.
#pragma once

#include <vector>

#include "framework/autograd/tape.h"

namespace og {

Value reshape(Tape& tape, const Value& x, const Shape& shape);  // same memory
std::vector<Value> split_last(Tape& tape, const Value& x,
                              const std::vector<int64_t>& sizes);  // [.., sum] -> [.., size] each
Value concat_last(Tape& tape, const std::vector<Value>& parts);
// [B, T, G, D] -> [B, T, G n, D]: head h reads group h / n.
Value repeat_heads(Tape& tape, const Value& x, int64_t n);
// [B, T, H, D] -> [B, T, count, D]: heads [first, first + count).
Value slice_heads(Tape& tape, const Value& x, int64_t first, int64_t count);
// [H] -> [H n]: each element n times.
Value repeat_elements(Tape& tape, const Value& x, int64_t n);
// [.., D] -> [.., D + 1] with a last column of ones (the normaliser of linear attention).
Value append_ones(Tape& tape, const Value& x);

}  // namespace og

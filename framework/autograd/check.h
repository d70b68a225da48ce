// Gradient check: central differences in f64 against the tape.
#pragma once

#include <functional>
#include <span>

#include "framework/autograd/tape.h"

namespace og {

struct GradientCheck {
  double largest_error = 0;  // |tape - difference| / max(1, |difference|)
  std::string where;         // "input 2, element 5: tape 0.1, difference 0.2"
};

// f: a scalar function of leaves (f64). Every element of every leaf that wants a gradient is moved by +-step.
// A function of a tensor is made scalar by a weighted sum with fixed random weights; see weighted_sum.
GradientCheck check_gradient(Context& cx, const std::function<Value(Tape&, std::span<const Value>)>& f,
                             std::span<const Value> leaves, double step = 1e-6);

// sum_i w_i x_i with w drawn from the key: a scalar that no error in a gradient escapes. f64 or f32.
Value weighted_sum(Tape& tape, const Value& x, uint64_t key);

}  // namespace og

// How far two tensors of one shape and type are from each other.
#pragma once

#include "framework/core/tensor.h"

namespace og {

double largest_magnitude(const Tensor& x);                    // max |x|; a NaN counts as nothing
double largest_difference(const Tensor& a, const Tensor& b);  // max |a - b|; a NaN counts as infinite

}  // namespace og

// Single numbers off the tape, added up where they are computed.
#pragma once

#include "framework/core/context.h"

namespace og {

// sum [1] f64 grows by factor x, x of one element and any type.
void add_scalar(const Stream& stream, const Tensor& sum, const Tensor& x, double factor = 1);
// The same by a number that the host knows.
void add_number(const Stream& stream, const Tensor& sum, double x);

}  // namespace og

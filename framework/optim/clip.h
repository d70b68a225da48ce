// Clipping by the norm of the whole gradient, without a look at any number by the host: the optimizer takes the scale
// from the tensor that it is written to.
#pragma once

#include "framework/core/context.h"

namespace og {

// All of one element in f64. norm = sqrt(square_norm); scale = limit / norm where limit > 0 and norm > limit, else 1.
// Where the loss or the norm is not finite, scale is 0 and AdamW::step changes nothing. dtype: of the gradients.
struct Clip {
  Tensor norm, scale;        // written
  Tensor square_norm, loss;  // read
  double limit = 0;          // 0: no clipping
};
void clip(const Stream& stream, DType dtype, const Clip& c);

}  // namespace og

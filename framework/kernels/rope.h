// Rotary position embedding (arXiv 2104.09864), halves paired as in Hugging Face checkpoints: with D even, i < D / 2,
// p = position in the document and the angle a = p theta^(-2i/D),
//   y_i = x_i cos a - x_{i+D/2} sin a,   y_{i+D/2} = x_{i+D/2} cos a + x_i sin a.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

template <class T>
struct RopeKernels {
  // x, y [B, T, H, D]. p = t - start_BT[b, t]. direction 1, or -1 for the inverse rotation, which is the gradient:
  // dx = rotate(dy, -1). Angles are computed in double.
  void (*rotate)(const Stream&, View<T, 4> y, Put put, View<const T, 4> x, View<const int32_t, 2> start, double theta,
                 int direction);
};

template <class T>
const RopeKernels<T>& rope_ref();
OG_CPU_TABLE(RopeKernels<float>, rope_table)
template <class T>
const RopeKernels<T>& rope_kernels(const Stream& stream);

}  // namespace og

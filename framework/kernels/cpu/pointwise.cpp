// The pointwise loops with elementary functions that vectorise. Bound by memory.
#include "framework/kernels/pointwise.h"

#include "framework/kernels/cpu/elementary.h"
#include "framework/kernels/loops/pointwise.h"

namespace og::OG_ISA {

const PointwiseKernels<float>& pointwise_table() {
  static constexpr PointwiseKernels<float> table = PointwiseLoops<float, VectorMath>::table();
  return table;
}

}  // namespace og::OG_ISA

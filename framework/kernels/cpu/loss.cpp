// Cross-entropy with an exp that vectorises.
#include "framework/kernels/loss.h"

#include "framework/kernels/cpu/elementary.h"
#include "framework/kernels/loops/loss.h"

namespace og::OG_ISA {

const LossKernels<float>& loss_table() {
  static constexpr LossKernels<float> table = LossLoops<float, VectorMath>::table();
  return table;
}

}  // namespace og::OG_ISA

// The loops of gates with elementary functions that vectorise.
#include "framework/kernels/gates.h"

#include "framework/kernels/cpu/elementary.h"
#include "framework/kernels/loops/gates.h"

namespace og::OG_ISA {

const GateKernels<float>& gate_table() {
  static constexpr GateKernels<float> table = GateLoops<float, VectorMath>::table();
  return table;
}

}  // namespace og::OG_ISA

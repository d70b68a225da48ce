#include "framework/kernels/gates.h"

namespace og {

template <>
const GateKernels<float>& gate_kernels(const Stream& stream) {
  return choose(stream, gate_ref<float>(), avx2::gate_table, avx512::gate_table);
}
template <>
const GateKernels<double>& gate_kernels(const Stream& stream) {
  return choose(stream, gate_ref<double>());
}

}  // namespace og

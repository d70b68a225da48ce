#include "framework/kernels/gates.h"

#include "framework/kernels/loops/gates.h"
#include "framework/kernels/ref/library_math.h"

namespace og {

template <class T>
const GateKernels<T>& gate_ref() {
  static constexpr GateKernels<T> table = GateLoops<T, LibraryMath<T>>::table();
  return table;
}
template const GateKernels<float>& gate_ref<float>();
template const GateKernels<double>& gate_ref<double>();

}  // namespace og

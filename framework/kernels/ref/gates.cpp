#include "framework/kernels/gates.h"

#include "framework/kernels/loops/gates.h"

namespace og {

namespace {

template <class T>
struct LibraryMath {
  static T exp(T x) { return std::exp(x); }
  static T log1p(T x) { return std::log1p(x); }
};

}  // namespace

template <class T>
const GateKernels<T>& gate_ref() {
  static constexpr GateKernels<T> table = GateLoops<T, LibraryMath<T>>::table();
  return table;
}
template const GateKernels<float>& gate_ref<float>();
template const GateKernels<double>& gate_ref<double>();

}  // namespace og

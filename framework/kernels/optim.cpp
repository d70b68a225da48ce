#include "framework/kernels/optim.h"

namespace og {

template <>
const OptimKernels<float>& optim_kernels(const Stream& stream) {
  return choose(stream, optim_ref<float>(), avx2::optim_table, avx512::optim_table);
}
template <>
const OptimKernels<double>& optim_kernels(const Stream& stream) {
  return choose(stream, optim_ref<double>());
}

}  // namespace og

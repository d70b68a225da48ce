#include "framework/kernels/norm.h"

namespace og {

template <>
const NormKernels<float>& norm_kernels(const Stream& stream) {
  return choose(stream, norm_ref<float>(), avx2::norm_table, avx512::norm_table);
}
template <>
const NormKernels<double>& norm_kernels(const Stream& stream) {
  return choose(stream, norm_ref<double>());
}

}  // namespace og

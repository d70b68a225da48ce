#include "framework/kernels/conv.h"

namespace og {

template <>
const ConvKernels<float>& conv_kernels(const Stream& stream) {
  return choose(stream, conv_ref<float>(), avx2::conv_table, avx512::conv_table);
}
template <>
const ConvKernels<double>& conv_kernels(const Stream& stream) {
  return choose(stream, conv_ref<double>());
}

}  // namespace og

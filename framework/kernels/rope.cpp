#include "framework/kernels/rope.h"

namespace og {

template <>
const RopeKernels<float>& rope_kernels(const Stream& stream) {
  return choose(stream, rope_ref<float>(), avx2::rope_table, avx512::rope_table);
}
template <>
const RopeKernels<double>& rope_kernels(const Stream& stream) {
  return choose(stream, rope_ref<double>());
}

}  // namespace og

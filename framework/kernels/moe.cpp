#include "framework/kernels/moe.h"

namespace og {

template <>
const MoeKernels<float>& moe_kernels(const Stream& stream) {
  return choose(stream, moe_ref<float>(), avx2::moe_table, avx512::moe_table);
}
template <>
const MoeKernels<double>& moe_kernels(const Stream& stream) {
  return choose(stream, moe_ref<double>());
}

}  // namespace og

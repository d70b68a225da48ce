#include "framework/kernels/loss.h"

namespace og {

template <>
const LossKernels<float>& loss_kernels(const Stream& stream) {
  return choose(stream, loss_ref<float>(), avx2::loss_table, avx512::loss_table);
}
template <>
const LossKernels<double>& loss_kernels(const Stream& stream) {
  return choose(stream, loss_ref<double>());
}

}  // namespace og

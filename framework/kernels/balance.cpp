#include "framework/kernels/balance.h"

namespace og {

template <>
const BalanceKernels<float>& balance_kernels(const Stream& stream) {
  return choose(stream, balance_ref<float>(), avx2::balance_table, avx512::balance_table);
}
template <>
const BalanceKernels<double>& balance_kernels(const Stream& stream) {
  return choose(stream, balance_ref<double>());
}

}  // namespace og

#include "framework/kernels/summary.h"

namespace og {

template <>
const SummaryKernels<float>& summary_kernels(const Stream& stream) {
  return choose(stream, summary_ref<float>(), avx2::summary_table, avx512::summary_table);
}
template <>
const SummaryKernels<double>& summary_kernels(const Stream& stream) {
  return choose(stream, summary_ref<double>());
}

}  // namespace og

#include "framework/kernels/attention.h"

namespace og {

template <>
const AttentionKernels<float>& attention_kernels(const Stream& stream) {
  return choose(stream, attention_ref<float>(), avx2::attention_table, avx512::attention_table);
}
template <>
const AttentionKernels<double>& attention_kernels(const Stream& stream) {
  return choose(stream, attention_ref<double>());
}

}  // namespace og

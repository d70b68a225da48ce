#include "framework/kernels/pointwise.h"

#include <iterator>

namespace og {

const char* name_of(Unary f) {
  constexpr const char* kNames[] = {"identity", "silu",         "sigmoid",       "softplus",
                                    "relu",     "squared_relu", "gelu",          "elu_plus_one",
                                    "exp",      "log_sigmoid",  "one_minus_exp", "neg_exp"};
  static_assert(std::size(kNames) == kNumUnary);
  return kNames[static_cast<size_t>(f)];
}

template <>
const PointwiseKernels<float>& pointwise_kernels(const Stream& stream) {
  return choose(stream, pointwise_ref<float>(), avx2::pointwise_table, avx512::pointwise_table);
}
template <>
const PointwiseKernels<double>& pointwise_kernels(const Stream& stream) {
  return choose(stream, pointwise_ref<double>());
}

}  // namespace og

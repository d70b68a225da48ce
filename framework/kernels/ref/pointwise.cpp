#include "framework/kernels/pointwise.h"

#include "framework/kernels/loops/pointwise.h"

namespace og {

namespace {

template <class T>
struct LibraryMath {
  static T exp(T x) { return std::exp(x); }
  static T log1p(T x) { return std::log1p(x); }
  static T one_minus_exp(T x) { return -std::expm1(x); }
};

}  // namespace

const char* name_of(Unary f) {
  constexpr const char* kNames[] = {"identity", "silu",         "sigmoid",       "softplus",
                                    "relu",     "squared_relu", "gelu",          "elu_plus_one",
                                    "exp",      "log_sigmoid",  "one_minus_exp", "neg_exp"};
  return kNames[static_cast<size_t>(f)];
}

template <class T>
const PointwiseKernels<T>& pointwise_ref() {
  static constexpr PointwiseKernels<T> table = PointwiseLoops<T, LibraryMath<T>>::table();
  return table;
}
template const PointwiseKernels<float>& pointwise_ref<float>();
template const PointwiseKernels<double>& pointwise_ref<double>();

template <>
const PointwiseKernels<float>& pointwise_kernels<float>(const Stream& stream) {
  return choose(stream, pointwise_ref<float>(), avx2::pointwise_table, avx512::pointwise_table);
}
template <>
const PointwiseKernels<double>& pointwise_kernels<double>(const Stream&) {
  return pointwise_ref<double>();
}

}  // namespace og

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

template <class T>
const PointwiseKernels<T>& pointwise_ref() {
  static constexpr PointwiseKernels<T> table = PointwiseLoops<T, LibraryMath<T>>::table();
  return table;
}
template const PointwiseKernels<float>& pointwise_ref<float>();
template const PointwiseKernels<double>& pointwise_ref<double>();

}  // namespace og

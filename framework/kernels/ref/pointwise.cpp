#include "framework/kernels/pointwise.h"

#include "framework/kernels/loops/pointwise.h"
#include "framework/kernels/ref/library_math.h"

namespace og {

template <class T>
const PointwiseKernels<T>& pointwise_ref() {
  static constexpr PointwiseKernels<T> table = PointwiseLoops<T, LibraryMath<T>>::table();
  return table;
}
template const PointwiseKernels<float>& pointwise_ref<float>();
template const PointwiseKernels<double>& pointwise_ref<double>();

}  // namespace og

#include "framework/kernels/loss.h"

#include "framework/kernels/loops/loss.h"
#include "framework/kernels/ref/library_math.h"

namespace og {

template <class T>
const LossKernels<T>& loss_ref() {
  static constexpr LossKernels<T> table = LossLoops<T, LibraryMath<T>>::table();
  return table;
}
template const LossKernels<float>& loss_ref<float>();
template const LossKernels<double>& loss_ref<double>();

}  // namespace og

#include "framework/kernels/scalars.h"

namespace og {

// One number a call: kernels/cpu has nothing better.
template <class T>
const ScalarKernels<T>& scalar_kernels(const Stream& stream) {
  return choose(stream, scalar_ref<T>());
}
template const ScalarKernels<float>& scalar_kernels(const Stream&);
template const ScalarKernels<double>& scalar_kernels(const Stream&);
template const ScalarKernels<int32_t>& scalar_kernels(const Stream&);
template const ScalarKernels<int64_t>& scalar_kernels(const Stream&);

}  // namespace og

#include "framework/kernels/blocks.h"

namespace og {

// Bound by memory: kernels/cpu has nothing better.
template <class T>
const BlockKernels<T>& block_kernels(const Stream& stream) {
  return choose(stream, blocks_ref<T>());
}
template const BlockKernels<float>& block_kernels(const Stream&);
template const BlockKernels<double>& block_kernels(const Stream&);
template const BlockKernels<int32_t>& block_kernels(const Stream&);
template const BlockKernels<int64_t>& block_kernels(const Stream&);

}  // namespace og

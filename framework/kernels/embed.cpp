#include "framework/kernels/embed.h"

namespace og {

// Bound by memory: kernels/cpu has nothing better.
template <class T>
const EmbedKernels<T>& embed_kernels(const Stream& stream) {
  return choose(stream, embed_ref<T>());
}
template const EmbedKernels<float>& embed_kernels(const Stream&);
template const EmbedKernels<double>& embed_kernels(const Stream&);

}  // namespace og

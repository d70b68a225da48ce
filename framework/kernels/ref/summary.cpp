#include "framework/kernels/summary.h"

#include "framework/kernels/loops/summary.h"

namespace og {

template <class T>
template <bool kTransposed>
void PlainProduct<T>::add_product(T* to, const T* a, const T* s, int64_t K, int64_t V) {
  for (int64_t c = 0; c < K; ++c)
    for (int64_t d = 0; d < K; ++d) {
      const T factor = a[kTransposed ? d * K + c : c * K + d];
      for (int64_t j = 0; j < V; ++j) to[c * V + j] += factor * s[d * V + j];
    }
}

template <class T>
void PlainProduct<T>::add_scaled(T* to, const T* a, int64_t n, const T* s, int64_t K, int64_t V) {
  for (int64_t c = 0; c < K; ++c) {
    const T factor = a[n == 1 ? 0 : c];
    for (int64_t j = 0; j < V; ++j) to[c * V + j] += factor * s[c * V + j];
  }
}

template void PlainProduct<float>::add_product<false>(float*, const float*, const float*, int64_t, int64_t);
template void PlainProduct<float>::add_product<true>(float*, const float*, const float*, int64_t, int64_t);
template void PlainProduct<float>::add_scaled(float*, const float*, int64_t, const float*, int64_t, int64_t);

template <class T>
const SummaryKernels<T>& summary_ref() {
  static constexpr SummaryKernels<T> table = SummaryLoops<PlainProduct<T>>::table();
  return table;
}
template const SummaryKernels<float>& summary_ref<float>();
template const SummaryKernels<double>& summary_ref<double>();

}  // namespace og

#include "framework/kernels/norm.h"

#include <cmath>

namespace og {

namespace {

template <class T>
void rms_forward(const Stream&, View<T, 2> y, View<T, 1> rstd, View<const T, 2> x, View<const T, 2> w, T eps) {
  const int64_t rows = x.shape[0], width = x.shape[1], groups = w.shape[0];
  for (int64_t r = 0; r < rows; ++r) {
    T sum = 0;
    for (int64_t d = 0; d < width; ++d) sum += x(r, d) * x(r, d);
    rstd(r) = T{1} / std::sqrt(sum / static_cast<T>(width) + eps);
    for (int64_t d = 0; d < width; ++d) y(r, d) = x(r, d) * rstd(r) * w(r % groups, d);
  }
}

template <class T>
void rms_backward(const Stream&, View<T, 2> dx, Put put_dx, View<T, 2> dw, Put put_dw, View<const T, 2> dy,
                  View<const T, 2> x, View<const T, 2> w, View<const T, 1> rstd) {
  const int64_t rows = x.shape[0], width = x.shape[1], groups = w.shape[0];
  if (dw && put_dw == Put::write)
    for (int64_t i = 0; i < dw.size(); ++i) dw.data[i] = 0;
  for (int64_t r = 0; r < rows; ++r) {
    T dot = 0;
    for (int64_t d = 0; d < width; ++d) dot += dy(r, d) * w(r % groups, d) * x(r, d);
    const T mean = dot * rstd(r) * rstd(r) / static_cast<T>(width);
    for (int64_t d = 0; d < width; ++d) {
      if (dx) {
        const T value = rstd(r) * (dy(r, d) * w(r % groups, d) - x(r, d) * mean);
        store(dx(r, d), put_dx, value);
      }
      if (dw) dw(r % groups, d) += dy(r, d) * x(r, d) * rstd(r);
    }
  }
}

}  // namespace

template <class T>
const NormKernels<T>& norm_ref() {
  static constexpr NormKernels<T> table{rms_forward<T>, rms_backward<T>};
  return table;
}
template const NormKernels<float>& norm_ref<float>();
template const NormKernels<double>& norm_ref<double>();

}  // namespace og

#include "framework/kernels/norm.h"

#include <algorithm>
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

constexpr int64_t kLeast = 1 << 12;  // elements that are worth a thread

template <class Body>
void each_row(const Stream& stream, int64_t rows, int64_t width, Body&& body) {
  stream.parallel_for(rows, kLeast / (width + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r);
  });
}

template <class T>
void inverse_root_forward(const Stream& stream, View<T, 1> y, View<const T, 1> x, T eps) {
  each_row(stream, y.size(), 1, [&](int64_t r) { y(r) = T{1} / std::sqrt(x(r) + eps); });
}

template <class T>
void inverse_root_backward(const Stream& stream, View<T, 1> dx, Put put, View<const T, 1> dy, View<const T, 1> y) {
  each_row(stream, y.size(), 1, [&](int64_t r) {
    const T value = T(-0.5) * dy(r) * y(r) * y(r) * y(r);
    store(dx(r), put, value);
  });
}

template <class T>
void softmax_forward(const Stream& stream, View<T, 2> y, View<const T, 2> x) {
  const int64_t width = x.shape[1];
  each_row(stream, x.shape[0], width, [&](int64_t r) {
    const T most = *std::max_element(&x(r), &x(r) + width);
    T sum = 0;
    for (int64_t d = 0; d < width; ++d) sum += y(r, d) = std::exp(x(r, d) - most);
    for (int64_t d = 0; d < width; ++d) y(r, d) /= sum;
  });
}

template <class T>
void softmax_backward(const Stream& stream, View<T, 2> dx, Put put, View<const T, 2> dy, View<const T, 2> y) {
  const int64_t width = y.shape[1];
  each_row(stream, y.shape[0], width, [&](int64_t r) {
    T dot = 0;
    for (int64_t d = 0; d < width; ++d) dot += y(r, d) * dy(r, d);
    for (int64_t d = 0; d < width; ++d) {
      const T value = y(r, d) * (dy(r, d) - dot);
      store(dx(r, d), put, value);
    }
  });
}

template <class T>
void divide_by_last_forward(const Stream& stream, View<T, 2> y, View<const T, 2> x, T eps) {
  const int64_t width = y.shape[1];
  each_row(stream, y.shape[0], width, [&](int64_t r) {
    const T inverse = 1 / (x(r, width) + eps);
    for (int64_t d = 0; d < width; ++d) y(r, d) = x(r, d) * inverse;
  });
}

template <class T>
void divide_by_last_backward(const Stream& stream, View<T, 2> dx, Put put, View<const T, 2> dy, View<const T, 2> x,
                             T eps) {
  const int64_t width = dy.shape[1];
  each_row(stream, dy.shape[0], width, [&](int64_t r) {
    const T inverse = 1 / (x(r, width) + eps);
    T last = 0;
    for (int64_t d = 0; d < width; ++d) {
      last -= dy(r, d) * x(r, d) * inverse * inverse;
      store(dx(r, d), put, dy(r, d) * inverse);
    }
    store(dx(r, width), put, last);
  });
}

}  // namespace

template <class T>
const NormKernels<T>& norm_ref() {
  static constexpr NormKernels<T> table{.rms_forward = rms_forward<T>,
                                        .rms_backward = rms_backward<T>,
                                        .inverse_root_forward = inverse_root_forward<T>,
                                        .inverse_root_backward = inverse_root_backward<T>,
                                        .softmax_forward = softmax_forward<T>,
                                        .softmax_backward = softmax_backward<T>,
                                        .divide_by_last_forward = divide_by_last_forward<T>,
                                        .divide_by_last_backward = divide_by_last_backward<T>};
  return table;
}
template const NormKernels<float>& norm_ref<float>();
template const NormKernels<double>& norm_ref<double>();

}  // namespace og

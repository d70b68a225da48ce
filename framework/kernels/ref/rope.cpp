#include "framework/kernels/rope.h"

#include <cmath>

namespace og {

namespace {

template <class T>
void rotate(const Stream&, View<T, 4> y, Put put, View<const T, 4> x, View<const int32_t, 2> start, double theta,
            int direction) {
  const int64_t heads = x.shape[2], width = x.shape[3], half = width / 2;
  for (int64_t b = 0; b < x.shape[0]; ++b) {
    for (int64_t t = 0; t < x.shape[1]; ++t) {
      for (int64_t i = 0; i < half; ++i) {
        const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(width));
        const double angle = direction * static_cast<double>(t - start(b, t)) * frequency;
        const T c = static_cast<T>(std::cos(angle)), s = static_cast<T>(std::sin(angle));
        for (int64_t h = 0; h < heads; ++h) {
          const T low = x(b, t, h, i), high = x(b, t, h, i + half);
          const T first = low * c - high * s, second = high * c + low * s;
          store(y(b, t, h, i), put, first);
          store(y(b, t, h, i + half), put, second);
        }
      }
    }
  }
}

}  // namespace

template <class T>
const RopeKernels<T>& rope_ref() {
  static constexpr RopeKernels<T> table{.rotate = rotate<T>};
  return table;
}
template const RopeKernels<float>& rope_ref<float>();
template const RopeKernels<double>& rope_ref<double>();

}  // namespace og

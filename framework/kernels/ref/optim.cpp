#include "framework/kernels/optim.h"

#include <cmath>

namespace og {

namespace {

template <class T>
void adamw(const Stream&, View<T, 1> w, View<T, 1> m, View<T, 1> v, View<const T, 1> g, const AdamWStep& s) {
  const auto b1 = static_cast<T>(s.beta1), b2 = static_cast<T>(s.beta2), clip = static_cast<T>(s.gradient_scale);
  const auto c1 = static_cast<T>(1 / s.correction1), c2 = static_cast<T>(1 / s.correction2);
  const auto rate = static_cast<T>(s.rate), eps = static_cast<T>(s.eps), decay = static_cast<T>(s.decay);
  for (int64_t i = 0; i < w.size(); ++i) {
    const T gradient = g(i) * clip;
    m(i) = b1 * m(i) + (1 - b1) * gradient;
    v(i) = b2 * v(i) + (1 - b2) * gradient * gradient;
    w(i) -= rate * (m(i) * c1 / (std::sqrt(v(i) * c2) + eps) + decay * w(i));
  }
}

template <class T>
double sum_squares(const Stream&, View<const T, 1> x) {
  double sum = 0;
  for (int64_t i = 0; i < x.size(); ++i) sum += static_cast<double>(x(i)) * static_cast<double>(x(i));
  return sum;
}

}  // namespace

template <class T>
const OptimKernels<T>& optim_ref() {
  static constexpr OptimKernels<T> table{adamw<T>, sum_squares<T>};
  return table;
}
template const OptimKernels<float>& optim_ref<float>();
template const OptimKernels<double>& optim_ref<double>();

}  // namespace og

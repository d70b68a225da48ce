#include "framework/kernels/optim.h"

#include <cmath>

namespace og {

namespace {

template <class T>
void adamw(const Stream&, View<T, 1> w, View<T, 1> m, View<T, 1> v, View<const T, 1> g, View<const double, 1> scale,
           const AdamWStep& s) {
  if (scale(0) == 0 || !std::isfinite(scale(0))) return;
  const auto b1 = static_cast<T>(s.beta1), b2 = static_cast<T>(s.beta2), clip = static_cast<T>(scale(0));
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
void sum_squares(const Stream&, View<double, 1> total, View<const T, 1> x, double divisor) {
  double sum = 0;
  for (int64_t i = 0; i < x.size(); ++i) sum += static_cast<double>(x(i)) * static_cast<double>(x(i));
  total(0) += sum / divisor;
}

void clip(const Stream&, View<double, 1> norm, View<double, 1> scale, View<const double, 1> square_norm,
          View<const double, 1> loss, double limit) {
  norm(0) = std::sqrt(square_norm(0));
  scale(0) = limit > 0 && norm(0) > limit ? limit / norm(0) : 1.0;
  if (!std::isfinite(loss(0)) || !std::isfinite(norm(0))) scale(0) = 0;
}

}  // namespace

template <class T>
const OptimKernels<T>& optim_ref() {
  static constexpr OptimKernels<T> table{.adamw = adamw<T>, .sum_squares = sum_squares<T>, .clip = clip};
  return table;
}
template const OptimKernels<float>& optim_ref<float>();
template const OptimKernels<double>& optim_ref<double>();

}  // namespace og

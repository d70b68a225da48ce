// Optimizer updates and gradient norms over flat parameters.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

// AdamW (arXiv 1711.05101) at step t >= 1: g' = scale g; m = b1 m + (1 - b1) g'; v = b2 v + (1 - b2) g'^2;
// w = w - rate (m / c1 / (sqrt(v / c2) + eps) + decay w), c1 = 1 - b1^t, c2 = 1 - b2^t.
struct AdamWStep {
  double rate, beta1, beta2, eps, decay;
  double correction1, correction2;  // c1, c2
};

template <class T>
struct OptimKernels {
  // scale [1]: 0 or not finite leaves w, m and v as they are.
  void (*adamw)(const Stream&, View<T, 1> w, View<T, 1> m, View<T, 1> v, View<const T, 1> g,
                View<const double, 1> scale, const AdamWStep& step);
  // sum [1] grows by the sum of squares of x in f64, divided; the same bits for the same x at any thread count.
  void (*sum_squares)(const Stream&, View<double, 1> sum, View<const T, 1> x, double divisor);
  // One element each: norm = sqrt(square_norm); scale = limit / norm where limit > 0 and norm > limit, else 1. Where
  // the loss or the norm is not finite scale is 0, so that adamw changes nothing.
  void (*clip)(const Stream&, View<double, 1> norm, View<double, 1> scale, View<const double, 1> square_norm,
               View<const double, 1> loss, double limit);
};

template <class T>
const OptimKernels<T>& optim_ref();
OG_CPU_TABLE(OptimKernels<float>, optim_table)
template <class T>
const OptimKernels<T>& optim_kernels(const Stream& stream);

}  // namespace og

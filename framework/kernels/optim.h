// Optimizer updates and gradient norms over flat parameters.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

// AdamW (arXiv 1711.05101) at step t >= 1: g' = clip g; m = b1 m + (1 - b1) g'; v = b2 v + (1 - b2) g'^2;
// w = w - rate (m / c1 / (sqrt(v / c2) + eps) + decay w), c1 = 1 - b1^t, c2 = 1 - b2^t.
struct AdamWStep {
  double rate, beta1, beta2, eps, decay;
  double correction1, correction2;  // c1, c2
  double gradient_scale;            // clip
};

template <class T>
struct OptimKernels {
  void (*adamw)(const Stream&, View<T, 1> w, View<T, 1> m, View<T, 1> v, View<const T, 1> g, const AdamWStep& step);
  // Sum of squares in f64; the same bits for the same x at any thread count.
  double (*sum_squares)(const Stream&, View<const T, 1> x);
};

template <class T>
const OptimKernels<T>& optim_ref();
OG_CPU_TABLE(OptimKernels<float>, optim_table)
template <class T>
const OptimKernels<T>& optim_kernels(const Stream& stream);

}  // namespace og

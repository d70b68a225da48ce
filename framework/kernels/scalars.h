// Single numbers that stay where they are computed: sums of a step, added up by kernels, which the host reads together
// when the step is done.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

template <class T>  // float, double, int32_t, int64_t
struct ScalarKernels {
  // sum += factor x, one element each, in f64. Null x: 1.
  void (*add)(const Stream&, View<double, 1> sum, View<const T, 1> x, double factor);
};

template <class T>
const ScalarKernels<T>& scalar_ref();
template <class T>
const ScalarKernels<T>& scalar_kernels(const Stream& stream);

}  // namespace og

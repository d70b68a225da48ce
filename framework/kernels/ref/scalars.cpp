#include "framework/kernels/scalars.h"

namespace og {

namespace {

template <class T>
void add(const Stream&, View<double, 1> sum, View<const T, 1> x, double factor) {
  sum(0) += x ? factor * static_cast<double>(x(0)) : factor;
}

}  // namespace

template <class T>
const ScalarKernels<T>& scalar_ref() {
  static constexpr ScalarKernels<T> table{.add = add<T>};
  return table;
}
template const ScalarKernels<float>& scalar_ref();
template const ScalarKernels<double>& scalar_ref();
template const ScalarKernels<int32_t>& scalar_ref();
template const ScalarKernels<int64_t>& scalar_ref();

}  // namespace og

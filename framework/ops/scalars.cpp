#include "framework/ops/scalars.h"

#include "framework/kernels/scalars.h"

namespace og {

void add_scalar(const Stream& stream, const Tensor& sum, const Tensor& x, double factor) {
  OG_CHECK(sum.count() == 1 && x.count() == 1, "add_scalar: {} grows by {}, expected one element each",
           sum.shape().str(), x.shape().str());
  visit_any(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    scalar_kernels<T>(stream).add(stream, sum.flat<double>(), x.flat<const T>(), factor);
  });
}

void add_number(const Stream& stream, const Tensor& sum, double x) {
  OG_CHECK(sum.count() == 1, "add_number: {} has more than one element", sum.shape().str());
  scalar_kernels<double>(stream).add(stream, sum.flat<double>(), {}, x);
}

}  // namespace og

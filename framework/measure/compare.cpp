#include "framework/measure/compare.h"

#include <algorithm>
#include <cmath>

namespace og {

double largest_magnitude(const Tensor& x) {
  double most = 0;
  visit_real(x.dtype(), [&](auto zero) {
    const auto values = x.flat<const decltype(zero)>();
    for (int64_t i = 0; i < values.size(); ++i) most = std::max(most, std::abs(static_cast<double>(values(i))));
  });
  return most;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  double most = 0;
  visit_real(a.dtype(), [&](auto zero) {
    const auto x = a.flat<const decltype(zero)>(), y = b.flat<const decltype(zero)>();
    for (int64_t i = 0; i < x.size(); ++i) {
      const double d = std::abs(static_cast<double>(x(i)) - static_cast<double>(y(i)));
      if (!(d <= most)) most = std::isnan(d) ? HUGE_VAL : d;
    }
  });
  return most;
}

}  // namespace og

// Tensors for tests: random ones that depend only on a key, and distances between them.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "framework/core/context.h"
#include "framework/core/rng.h"

namespace og {

inline Tensor random_tensor(Context& cx, const Shape& shape, DType dtype, uint64_t key, double scale = 1) {
  const Tensor t = cx.empty(shape, dtype);
  visit_real(dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < t.count(); ++i)
      t.data<T>()[i] = static_cast<T>(scale * random_normal(key, static_cast<uint64_t>(i)));
  });
  return t;
}

// max |a - b| / max(1, max |b|); infinite if a NaN is in either or the shapes differ.
inline double distance(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) return std::numeric_limits<double>::infinity();
  double largest = 0, scale = 1;
  for (int64_t i = 0; i < a.count(); ++i) {
    const double d = std::abs(a.at(i) - b.at(i));
    if (!(d <= largest)) largest = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
    scale = std::max(scale, std::abs(b.at(i)));
  }
  return largest / scale;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::equal(a.raw(), a.raw() + a.bytes(), b.raw());
}

}  // namespace og

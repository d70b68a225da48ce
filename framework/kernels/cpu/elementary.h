// exp and its relatives on single floats, free of branches, so that the compiler vectorises the loops that call them.
#pragma once

#include <cmath>

#include "framework/kernels/cpu/simd.h"

namespace og::OG_ISA {

struct VectorMath {
  static inline float exp(float x) { return exponential(x); }

  // log(1 + u) for 0 <= u <= 1, as 2 artanh(u / (2 + u)).
  static inline float log1p(float u) {
    const float z = u / (2.0F + u), s = z * z;
    float p = s * (1.0F / 13.0F) + (1.0F / 11.0F);
    p = p * s + (1.0F / 9.0F);
    p = p * s + (1.0F / 7.0F);
    p = p * s + (1.0F / 5.0F);
    p = p * s + (1.0F / 3.0F);
    return 2.0F * (z + z * s * p);
  }

  // 1 - e^x without loss near 0.
  static inline float one_minus_exp(float x) {
    float p = x * (1.0F / 5040.0F) + (1.0F / 720.0F);
    p = p * x + (1.0F / 120.0F);
    p = p * x + (1.0F / 24.0F);
    p = p * x + (1.0F / 6.0F);
    p = p * x + 0.5F;
    const float near = -(x + x * x * p);
    return std::abs(x) < 0.3F ? near : 1.0F - exp(x);
  }

  // erfc(-x / sqrt 2). With a = |x|, erfc(a / sqrt 2) = e^(-a a / 2) p(q) / (1 + 0.75 a), q = (a - 4) / (a + 4); p is
  // an interpolation at Chebyshev's nodes over 0 <= a <= 13.3, where the exponential ends, to 2.4e-8.
  [[gnu::always_inline]] static inline float two_phi(float x) {
    const float magnitude = std::abs(x), a = magnitude > 20.0F ? 20.0F : magnitude;
    const float square = a * a, lost = std::fma(a, a, -square);
    const float power = exponential_of_gate(-0.5F * square);
    const float q = (a - 4.0F) / (a + 4.0F);
    float p = q * 1.23869293e-4F + 1.05419196e-3F;
    p = p * q - 2.59562512e-4F;
    p = p * q - 7.34510645e-3F;
    p = p * q + 2.26827096e-2F;
    p = p * q - 3.28434063e-2F;
    p = p * q + 7.04552699e-3F;
    p = p * q + 8.31876323e-2F;
    p = p * q - 2.30254054e-1F;
    p = p * q + 7.55285144e-1F;
    const float tail = (power - 0.5F * lost * power) * p / (1.0F + 0.75F * a);
    return x < 0.0F ? tail : 2.0F - tail;
  }
};

}  // namespace og::OG_ISA

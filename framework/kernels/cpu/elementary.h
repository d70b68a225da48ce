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
};

}  // namespace og::OG_ISA

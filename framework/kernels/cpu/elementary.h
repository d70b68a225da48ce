// exp and its relatives on single floats, free of branches, so that the compiler vectorises the loops that call them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace og::OG_ISA {

struct VectorMath {
  // 2 units in the last place; 0 below -87, infinity above 88.7. NaN stays NaN.
  static inline float exp(float x) {
    constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number in the low bits
    float c = x < -87.0F ? -87.0F : x;
    c = c > 88.72F ? 88.72F : c;
    const float shifted = c * 1.44269504088896341F + kShift;
    const float n = shifted - kShift;
    const float r = (c - n * 0.693359375F) + n * 2.12194440e-4F;
    float p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * (r * r) + r + 1.0F;
    // 2^n in two factors: n may be 128.
    const int32_t whole = (std::bit_cast<int32_t>(shifted) << 23 >> 23);
    const int32_t half = whole >> 1;
    const float low = std::bit_cast<float>((half + 127) << 23);
    const float high = std::bit_cast<float>((whole - half + 127) << 23);
    const float y = p * low * high;
    return x < -87.0F ? 0.0F : x > 88.72F ? HUGE_VALF : y;
  }

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

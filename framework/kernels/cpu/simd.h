// Vectors of the width of OG_ISA, exp, and the inner loop of a matrix product. Included by kernels of cpu/ only.
// Unaligned memory throughout.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace og::OG_ISA {

#ifdef __AVX512F__
constexpr int64_t kLanes = 16;
#else
constexpr int64_t kLanes = 8;
#endif
typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));

inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
inline Vec broadcast(float x) { return x - Vec{}; }
inline Vec maximum(Vec a, Vec b) { return a > b ? a : b; }
inline int64_t whole_vectors(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Inlined always: a call in a loop over floats would leave the loop scalar.
//
// exp(x) = 2^n (1 + r + p r^2) with |r| <= log(2) / 2, to 2 units in the last place; float or Vec.
template <class F>
struct ExpParts {
  static constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number in the low bits
  F shifted;                                    // n in its low bits
  F r, p;

  [[gnu::always_inline]] explicit ExpParts(F x) {
    shifted = x * 1.44269504088896341F + kShift;
    const F n = shifted - kShift;
    r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
    p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
  }
  [[gnu::always_inline]] F fraction() const { return p * (r * r) + r + 1.0F; }
};

// For x <= 88; exactly 0 below -87, also for -infinity (a masked score). NaN stays.
[[gnu::always_inline]] inline Vec exponential(Vec x) {
  const ExpParts<Vec> e(x < -87.0F ? broadcast(-87.0F) : x);
  IntVec bits;
  std::memcpy(&bits, &e.shifted, sizeof bits);
  bits = (bits << 23) + (127 << 23);  // 2^n: the shift drops everything but the whole number n
  Vec power;
  std::memcpy(&power, &bits, sizeof power);
  return x < -87.0F ? Vec{} : e.fraction() * power;
}

// One float, free of branches, so that the compiler vectorises the loops that call it. 0 below -87, infinity above
// 88.72. NaN stays.
[[gnu::always_inline]] inline float exponential(float x) {
  float c = x < -87.0F ? -87.0F : x;
  c = c > 88.72F ? 88.72F : c;
  const ExpParts<float> e(c);
  // 2^n in two factors: n may be 128.
  const int32_t whole = (std::bit_cast<int32_t>(e.shifted) << 23 >> 23);
  const int32_t half = whole >> 1;
  const float low = std::bit_cast<float>((half + 127) << 23);
  const float high = std::bit_cast<float>((whole - half + 127) << 23);
  const float y = e.fraction() * low * high;
  return x < -87.0F ? 0.0F : x > 88.72F ? HUGE_VALF : y;
}

// The same for x <= 0, what gates are: one factor is enough. p r r from the left is as the scans have always rounded.
[[gnu::always_inline]] inline float exponential_of_gate(float x) {
  const ExpParts<float> e(x < -87.0F ? -87.0F : x);
  const float power = std::bit_cast<float>((std::bit_cast<int32_t>(e.shifted) << 23) + (127 << 23));
  return x < -87.0F ? 0.0F : (e.p * e.r * e.r + e.r + 1.0F) * power;
}

// sum[R, V lanes] += A B. Element (r, k) of A is a[r * row_a + k * col_a]. Inlined into its caller, so that the sums
// stay in registers.
template <int R, int V>
[[gnu::always_inline]] inline void add_products(Vec (&sum)[R][V], int64_t inner, const float* a, int64_t row_a,
                                                int64_t col_a, const float* b, int64_t row_b) {
  for (int64_t k = 0; k < inner; ++k) {
    Vec bk[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) bk[v] = load(b + k * row_b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec ak = broadcast(a[r * row_a + k * col_a]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[r][v] += ak * bk[v];
    }
  }
}

}  // namespace og::OG_ISA

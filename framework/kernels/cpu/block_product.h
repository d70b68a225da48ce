// Small products of blocks that lie in the first or second level cache, and exp, on vectors of the width of OG_ISA.
// Included by kernels of cpu/ only. Unaligned memory throughout.
#pragma once

#include <cstdint>
#include <cstring>

namespace og::OG_ISA {

#ifdef __AVX512F__
constexpr int64_t kLanes = 16;
constexpr int kTileVectors = 4;  // a tile of 6 rows: 24 sums in the 32 registers
#else
constexpr int64_t kLanes = 8;
constexpr int kTileVectors = 2;  // 12 sums of the 16 registers
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

// exp(x) to 2 units in the last place for x <= 88; exactly 0 below -87, also for -infinity (a masked score). NaN stays.
inline Vec exponential(Vec x) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number in the low bits
  const Vec clamped = x < -87.0F ? broadcast(-87.0F) : x;
  const Vec shifted = clamped * 1.44269504088896341F + kShift;
  const Vec n = shifted - kShift;
  const Vec r = (clamped - n * 0.693359375F) + n * 2.12194440e-4F;
  Vec p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  IntVec bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + (127 << 23);  // 2^n: the shift drops everything but the whole number n
  Vec power;
  std::memcpy(&power, &bits, sizeof power);
  return x < -87.0F ? Vec{} : p * power;
}

// C[R, V lanes] (+)= A B. Element (r, k) of A is a[r * row_a + k * col_a].
template <int R, int V, bool kAdd>
inline void product_tile(int64_t inner, const float* a, int64_t row_a, int64_t col_a, const float* b, int64_t row_b,
                         float* c, int64_t row_c) {
  Vec sum[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[r][v] = kAdd ? load(c + r * row_c + v * kLanes) : Vec{};
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
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(c + r * row_c + v * kLanes, sum[r][v]);
}

template <int V, bool kAdd>
inline void product_columns(int64_t rows, int64_t inner, const float* a, int64_t row_a, int64_t col_a, const float* b,
                            int64_t row_b, float* c, int64_t row_c) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6)
    product_tile<6, V, kAdd>(inner, a + r * row_a, row_a, col_a, b, row_b, c + r * row_c, row_c);
  if (r + 4 <= rows) {
    product_tile<4, V, kAdd>(inner, a + r * row_a, row_a, col_a, b, row_b, c + r * row_c, row_c);
    r += 4;
  }
  for (; r < rows; ++r) product_tile<1, V, kAdd>(inner, a + r * row_a, row_a, col_a, b, row_b, c + r * row_c, row_c);
}

// C[rows, columns] (+)= A[rows, inner] B[inner, columns]; columns is a multiple of kLanes. A may be strided both ways
// (so it may be a transposed block); rows of B and C are contiguous, row_b and row_c apart.
template <bool kAdd>
inline void block_product(int64_t rows, int64_t columns, int64_t inner, const float* a, int64_t row_a, int64_t col_a,
                          const float* b, int64_t row_b, float* c, int64_t row_c) {
  int64_t j = 0;
  for (; j + kTileVectors * kLanes <= columns; j += kTileVectors * kLanes)
    product_columns<kTileVectors, kAdd>(rows, inner, a, row_a, col_a, b + j, row_b, c + j, row_c);
  for (; j < columns; j += kLanes) product_columns<1, kAdd>(rows, inner, a, row_a, col_a, b + j, row_b, c + j, row_c);
}

}  // namespace og::OG_ISA

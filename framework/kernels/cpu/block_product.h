// Products of small blocks that lie in the first or second level cache.
#pragma once

#include "framework/kernels/cpu/simd.h"

namespace og::OG_ISA {

#ifdef __AVX512F__
constexpr int kTileVectors = 4;  // a tile of 6 rows: 24 sums in the 32 registers
#else
constexpr int kTileVectors = 2;  // 12 sums of the 16 registers
#endif

// C[R, V lanes] (+)= A B. Element (r, k) of A is a[r * row_a + k * col_a].
template <int R, int V, bool kAdd>
inline void product_tile(int64_t inner, const float* a, int64_t row_a, int64_t col_a, const float* b, int64_t row_b,
                         float* c, int64_t row_c) {
  Vec sum[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[r][v] = kAdd ? load(c + r * row_c + v * kLanes) : Vec{};
  add_products(sum, inner, a, row_a, col_a, b, row_b);
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

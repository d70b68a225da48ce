// A product of small matrices in register tiles of 4 rows by 4 vectors, or 8 rows where fewer vectors are left.
#pragma once

#include "framework/kernels/cpu/simd.h"
#include "framework/kernels/loops/scan_chunk.h"

namespace og::OG_ISA {

constexpr int64_t kTileColumns = 16;  // columns come in multiples of it

template <int kRows, int kColumns>
void tile(int64_t k, const float* a, int64_t row, int64_t column, const float* b, int64_t ldb, float* c, int64_t ldc,
          Sum sum) {
  Vec acc[kRows][kColumns] = {};
  add_products(acc, k, a, row, column, b, ldb);
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kColumns; ++j) {
      float* to = c + i * ldc + j * kLanes;
      store(to, sum == Sum::set ? acc[i][j] : sum == Sum::add ? load(to) + acc[i][j] : load(to) - acc[i][j]);
    }
}

template <int kRows, int kColumns>
void column_of_tiles(int64_t m, int64_t k, const float* a, int64_t row, int64_t column, const float* b, int64_t ldb,
                     float* c, int64_t ldc, Sum sum) {
  int64_t i = 0;
  for (; i + kRows <= m; i += kRows) tile<kRows, kColumns>(k, a + i * row, row, column, b, ldb, c + i * ldc, ldc, sum);
  for (; i < m; ++i) tile<1, kColumns>(k, a + i * row, row, column, b, ldb, c + i * ldc, ldc, sum);
}

// c [m, n] = or += or -= A B. Element (i, d) of A [m, k] is a[i row + d column]; B [k, n] has rows of ldb. n is a
// multiple of kTileColumns.
inline void tiled_product(int64_t m, int64_t n, int64_t k, const float* a, int64_t row, int64_t column, const float* b,
                          int64_t ldb, float* c, int64_t ldc, Sum sum) {
  int64_t j = 0;
#ifdef __AVX512F__
  for (; j + 64 <= n; j += 64) column_of_tiles<4, 4>(m, k, a, row, column, b + j, ldb, c + j, ldc, sum);
  if (n - j == 48) return column_of_tiles<8, 3>(m, k, a, row, column, b + j, ldb, c + j, ldc, sum);
  if (n - j == 32) return column_of_tiles<8, 2>(m, k, a, row, column, b + j, ldb, c + j, ldc, sum);
  if (n - j == 16) return column_of_tiles<8, 1>(m, k, a, row, column, b + j, ldb, c + j, ldc, sum);
#else
  for (; j < n; j += kTileColumns) column_of_tiles<4, 2>(m, k, a, row, column, b + j, ldb, c + j, ldc, sum);
#endif
}

}  // namespace og::OG_ISA

#include "framework/kernels/matmul.h"

#include <algorithm>

#include "framework/kernels/loops/matmul.h"

namespace og {

namespace {

// Rows of C four at a time share what is read of B.
template <class T>
void accumulate_rows(Matrix<T> c, int64_t row, int64_t rows, int64_t k, const T* const* a, const int64_t a_step,
                     Matrix<const T> b) {
  for (int64_t p = 0; p < k; ++p) {
    const T* bp = b.row(p);
    for (int64_t i = 0; i < rows; ++i) {
      const T x = a[i][p * a_step];
      T* cr = c.row(row + i);
      for (int64_t j = 0; j < c.columns; ++j) cr[j] += x * bp[j];
    }
  }
}

template <class T>
void product(const Stream&, Transpose transpose, Matrix<T> c, Put put, Matrix<const T> a, Matrix<const T> b) {
  const int64_t m = c.rows, n = c.columns;
  const int64_t k = transpose == Transpose::tn ? a.rows : a.columns;
  if (transpose == Transpose::nt) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        T sum = 0;
        for (int64_t p = 0; p < k; ++p) sum += a.row(i)[p] * b.row(j)[p];
        store(c.row(i)[j], put, sum);
      }
    return;
  }
  if (put == Put::write) write_zeros(c);
  constexpr int64_t kRows = 4;
  for (int64_t i = 0; i < m; i += kRows) {
    const int64_t rows = std::min(kRows, m - i);
    const T* from[kRows];
    for (int64_t r = 0; r < rows; ++r) from[r] = transpose == Transpose::tn ? a.data + i + r : a.row(i + r);
    accumulate_rows(c, i, rows, k, from, transpose == Transpose::tn ? a.lead : 1, b);
  }
}

}  // namespace

template <class T>
const MatmulKernels<T>& matmul_ref() {
  static constexpr MatmulKernels<T> table = MatmulLoops<T, product<T>>::table();
  return table;
}
template const MatmulKernels<float>& matmul_ref();
template const MatmulKernels<double>& matmul_ref();

}  // namespace og

#include "framework/kernels/matmul.h"

#include <algorithm>

namespace og {

namespace {

// Rows of C four at a time share what is read of B.
template <class T>
void accumulate_rows(View<T, 2> c, int64_t row, int64_t rows, int64_t k, const T* const* a, const int64_t a_step,
                     View<const T, 2> b) {
  const int64_t n = c.shape[1];
  for (int64_t p = 0; p < k; ++p) {
    const T* bp = &b(p);
    for (int64_t i = 0; i < rows; ++i) {
      const T x = a[i][p * a_step];
      T* cr = &c(row + i);
      for (int64_t j = 0; j < n; ++j) cr[j] += x * bp[j];
    }
  }
}

}  // namespace

template <class T>
void matmul_ref(Transpose transpose, View<T, 2> c, Put put, View<const T, 2> a, View<const T, 2> b) {
  const int64_t m = c.shape[0], n = c.shape[1];
  const int64_t k = transpose == Transpose::tn ? a.shape[0] : a.shape[1];
  if (transpose == Transpose::nt) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        T sum = 0;
        for (int64_t p = 0; p < k; ++p) sum += a(i, p) * b(j, p);
        store(c(i, j), put, sum);
      }
    return;
  }
  if (put == Put::write) std::fill_n(c.data, c.size(), T{0});
  constexpr int64_t kRows = 4;
  for (int64_t i = 0; i < m; i += kRows) {
    const int64_t rows = std::min(kRows, m - i);
    const T* from[kRows];
    for (int64_t r = 0; r < rows; ++r) from[r] = transpose == Transpose::tn ? a.data + i + r : &a(i + r);
    accumulate_rows(c, i, rows, k, from, transpose == Transpose::tn ? m : 1, b);
  }
}
template void matmul_ref<float>(Transpose, View<float, 2>, Put, View<const float, 2>, View<const float, 2>);
template void matmul_ref<double>(Transpose, View<double, 2>, Put, View<const double, 2>, View<const double, 2>);

}  // namespace og

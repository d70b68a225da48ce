// The chunked passes with plain loops, float and double.
#include <cmath>

#include "framework/kernels/loops/scan_pass.h"

namespace og {

namespace {

template <class T_>
struct PlainMath {
  using T = T_;
  static constexpr int64_t kPad = 1;

  // c [m, n] = a b (set), c + a b (add), c - a b (subtract); a(i, p) = a[i row + p column], rows of b and c contiguous.
  static void product(int64_t m, int64_t n, int64_t k, const T* a, int64_t row, int64_t column, const T* b, int64_t ldb,
                      T* c, int64_t ldc, Sum sum) {
    for (int64_t i = 0; i < m; ++i) {
      if (sum == Sum::set) std::fill(c + i * ldc, c + i * ldc + n, T{0});
      for (int64_t p = 0; p < k; ++p) {
        const T x = sum == Sum::subtract ? -a[i * row + p * column] : a[i * row + p * column];
        for (int64_t j = 0; j < n; ++j) c[i * ldc + j] += x * b[p * ldb + j];
      }
    }
  }
  // to [columns, padded] = from^T, from [rows, columns]; rows..padded filled with zeros.
  static void transpose(T* to, int64_t ld_to, const T* from, int64_t ld_from, int64_t rows, int64_t columns,
                        int64_t padded) {
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t i = 0; i < rows; ++i) to[j * ld_to + i] = from[i * ld_from + j];
      for (int64_t i = rows; i < padded; ++i) to[j * ld_to + i] = 0;
    }
  }
  static void exp(T* x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) x[i] = std::exp(x[i]);
  }
  // Inside a block of at most 16 tokens, decay [rows, K'] = exp(gates), E_ij = product of decay after j up to i:
  // X_ij = sum_c x_ic y_jc E_ijc for j <= i.
  static void block_scores(T* X, int64_t ldx, const T* x, const T* y, const T* decay, int64_t width, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t c = 0; c < width; ++c) {
        T reader = x[i * width + c];
        for (int64_t j = i; j >= 0; --j) {
          X[i * ldx + j] += reader * y[j * width + c];
          reader *= decay[j * width + c];
        }
      }
  }
  // out_ic += sum_{j <= i} X_ij y_jc E_ijc.
  static void block_rows(T* out, const T* X, int64_t ldx, const T* y, const T* decay, int64_t width, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t c = 0; c < width; ++c) {
        T sum = 0;
        for (int64_t j = 0; j <= i; ++j) sum = sum * decay[j * width + c] + X[i * ldx + j] * y[j * width + c];
        out[i * width + c] += sum;
      }
  }
  // out_jc += sum_{i >= j} X_ij y_ic E_ijc.
  static void block_columns(T* out, const T* X, int64_t ldx, const T* y, const T* decay, int64_t width, int64_t rows) {
    for (int64_t j = 0; j < rows; ++j)
      for (int64_t c = 0; c < width; ++c) {
        T sum = 0;
        for (int64_t i = rows - 1; i >= j; --i) {
          sum += X[i * ldx + j] * y[i * width + c];
          if (i > j) sum *= decay[i * width + c];
        }
        out[j * width + c] += sum;
      }
  }
  static T dot(const T* x, const T* y, int64_t n) {
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
    return sum;
  }
};

}  // namespace

template <class T>
const ScanKernels<T>& scan_chunked() {
  static constexpr ScanKernels<T> table = ScanPass<PlainMath<T>>::table();
  return table;
}
template const ScanKernels<float>& scan_chunked<float>();
template const ScanKernels<double>& scan_chunked<double>();

}  // namespace og

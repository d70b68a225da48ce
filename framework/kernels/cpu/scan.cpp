// The chunked passes for OG_ISA; rows are padded to 16 floats.
#include <cstring>

#include "framework/kernels/cpu/tiled_product.h"
#include "framework/kernels/loops/scan_pass.h"

namespace og::OG_ISA {

namespace {

// The lanes from `first` on; all of them if first <= 0.
IntVec lanes_from(int64_t first) {
#ifdef __AVX512F__
  const IntVec lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#else
  const IntVec lane = {0, 1, 2, 3, 4, 5, 6, 7};
#endif
  return lane >= static_cast<int32_t>(first);
}

struct VectorMath {
  using T = float;
  static constexpr int64_t kPad = kTileColumns;

  static void product(int64_t m, int64_t n, int64_t k, const float* a, int64_t row, int64_t column, const float* b,
                      int64_t ldb, float* c, int64_t ldc, Sum sum) {
    tiled_product(m, n, k, a, row, column, b, ldb, c, ldc, sum);
  }

  static void transpose(float* to, int64_t ld_to, const float* from, int64_t ld_from, int64_t rows, int64_t columns,
                        int64_t padded) {
    constexpr int64_t kTile = 16;
    for (int64_t i0 = 0; i0 < padded; i0 += kTile)
      for (int64_t j = 0; j < columns; ++j) {
        float line[kTile];
        for (int64_t i = 0; i < kTile; ++i) line[i] = i0 + i < rows ? from[(i0 + i) * ld_from + j] : 0.0F;
        std::memcpy(to + j * ld_to + i0, line, sizeof line);
      }
  }

  static void exp(float* x, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) x[i] = exponential_of_gate(x[i]);
  }

  // Tokens i in the lanes: for each channel the readers of all i walk to the left together; a lane joins at its own
  // token.
  static void block_scores(float* X, int64_t ldx, const float* x, const float* y, const float* decay, int64_t width,
                           int64_t rows) {
    for (int64_t i0 = 0; i0 < rows; i0 += kLanes) {
      const int64_t end = std::min(rows, i0 + kLanes);
      Vec acc[16] = {};
      float turned[16 * 16];
      for (int64_t c0 = 0; c0 < width; c0 += 16) {
        transpose(turned, 16, x + i0 * width + c0, width, end - i0, 16, 16);
        for (int64_t c = 0; c < 16; ++c) {
          Vec reader = load(turned + c * 16);
          const float* yc = y + c0 + c;
          const float* ac = decay + c0 + c;
          for (int64_t j = end - 1; j >= i0; --j) {
            acc[j] += reader * yc[j * width];
            reader = lanes_from(j - i0) ? reader * ac[j * width] : reader;
          }
          for (int64_t j = i0 - 1; j >= 0; --j) {
            acc[j] += reader * yc[j * width];
            reader *= ac[j * width];
          }
        }
      }
      for (int64_t j = 0; j < end; ++j)
        for (int64_t i = std::max(i0, j); i < end; ++i) X[i * ldx + j] = acc[j][i - i0];
    }
  }

  static void block_rows(float* out, const float* X, int64_t ldx, const float* y, const float* decay, int64_t width,
                         int64_t rows) {
    for (int64_t c = 0; c < width; c += kLanes)
      for (int64_t i = 0; i < rows; ++i) {
        Vec sum = {};
        for (int64_t j = 0; j <= i; ++j)
          sum = sum * load(decay + j * width + c) + X[i * ldx + j] * load(y + j * width + c);
        store(out + i * width + c, load(out + i * width + c) + sum);
      }
  }

  static void block_columns(float* out, const float* X, int64_t ldx, const float* y, const float* decay, int64_t width,
                            int64_t rows) {
    for (int64_t c = 0; c < width; c += kLanes)
      for (int64_t j = 0; j < rows; ++j) {
        Vec sum = X[(rows - 1) * ldx + j] * load(y + (rows - 1) * width + c);
        for (int64_t i = rows - 2; i >= j; --i)
          sum = sum * load(decay + (i + 1) * width + c) + X[i * ldx + j] * load(y + i * width + c);
        store(out + j * width + c, load(out + j * width + c) + sum);
      }
  }

  static float dot(const float* x, const float* y, int64_t n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
    return sum;
  }
};

}  // namespace

const ScanKernels<float>& scan_table() {
  static constexpr ScanKernels<float> table = ScanPass<VectorMath>::table();
  return table;
}

}  // namespace og::OG_ISA

// The chunked passes for OG_ISA: products in register tiles of 4 rows by 4 vectors, rows padded to 16 floats.
#include <bit>
#include <cstring>

#include "framework/kernels/scan_pass.h"

namespace og::OG_ISA {

namespace {

#ifdef __AVX512F__
constexpr int kLanes = 16;
constexpr int kVectors = 4;  // columns of a tile: 64
#else
constexpr int kLanes = 8;
constexpr int kVectors = 2;  // 16
#endif
using Vector = float __attribute__((vector_size(kLanes * 4)));

Vector load(const float* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
void store(float* p, Vector v) { std::memcpy(p, &v, sizeof v); }

template <int kRows, int kColumns>
void tile(int64_t k, const float* a, int64_t row, int64_t column, const float* b, int64_t ldb, float* c, int64_t ldc,
          Sum sum) {
  Vector acc[kRows][kColumns] = {};
  for (int64_t p = 0; p < k; ++p) {
    Vector x[kColumns];
    for (int j = 0; j < kColumns; ++j) x[j] = load(b + p * ldb + j * kLanes);
    for (int i = 0; i < kRows; ++i) {
      const float f = a[i * row + p * column];
      for (int j = 0; j < kColumns; ++j) acc[i][j] += f * x[j];
    }
  }
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kColumns; ++j) {
      float* to = c + i * ldc + j * kLanes;
      store(to, sum == Sum::set ? acc[i][j] : sum == Sum::add ? load(to) + acc[i][j] : load(to) - acc[i][j]);
    }
}

template <int kColumns>
void column_of_tiles(int64_t m, int64_t k, const float* a, int64_t row, int64_t column, const float* b, int64_t ldb,
                     float* c, int64_t ldc, Sum sum) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) tile<4, kColumns>(k, a + i * row, row, column, b, ldb, c + i * ldc, ldc, sum);
  for (; i < m; ++i) tile<1, kColumns>(k, a + i * row, row, column, b, ldb, c + i * ldc, ldc, sum);
}

struct VectorMath {
  using T = float;
  static constexpr int64_t kPad = 16;

  static void product(int64_t m, int64_t n, int64_t k, const float* a, int64_t row, int64_t column, const float* b,
                      int64_t ldb, float* c, int64_t ldc, Sum sum) {
    int64_t j = 0;
    for (; j + kVectors * kLanes <= n; j += kVectors * kLanes)
      column_of_tiles<kVectors>(m, k, a, row, column, b + j, ldb, c + j, ldc, sum);
    for (; j < n; j += kPad) column_of_tiles<16 / kLanes>(m, k, a, row, column, b + j, ldb, c + j, ldc, sum);
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

  // exp(x) for x <= 0, 2 ulp: x = n log 2 + r, a polynomial in r; below -87 it is 0.
  static void exp(float* x, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const float v = x[i] < -87.0F ? -87.0F : x[i];
      const float shifted = v * 1.44269504F + 12582912.0F;  // 1.5 * 2^23: the sum rounds to an integer
      const float whole = shifted - 12582912.0F;
      const float r = (v - whole * 0.693359375F) + whole * 2.12194440e-4F;
      float p = 1.9875691500e-4F;
      p = p * r + 1.3981999507e-3F;
      p = p * r + 8.3334519073e-3F;
      p = p * r + 4.1665795894e-2F;
      p = p * r + 1.6666665459e-1F;
      p = p * r + 5.0000001201e-1F;
      p = p * r * r + r + 1.0F;
      const float scale = std::bit_cast<float>((std::bit_cast<int32_t>(shifted) << 23) + 0x3f800000);
      x[i] = x[i] < -87.0F ? 0.0F : p * scale;
    }
  }

  static float dot(const float* x, const float* y, int64_t n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
    return sum;
  }
};

template <bool kTransposed>
void fold(const Stream& stream, View<float, 4> out, View<const float, 3> a, View<const float, 4> state,
          View<const float, 4> b) {
  const int64_t K = state.shape[2], V = state.shape[3];
  if (a.shape[2] != K * K || K == 1 || V % VectorMath::kPad != 0) {
    const ScanKernels<float>& ref = scan_ref<float>();
    return (kTransposed ? ref.retreat : ref.advance)(stream, out, a, state, b);
  }
  stream.parallel_for(state.shape[0] * state.shape[1], 1, [&](int64_t begin, int64_t end) {
    std::copy(b.data + begin * K * V, b.data + end * K * V, out.data + begin * K * V);
    for (int64_t i = begin; i < end; ++i)
      VectorMath::product(K, V, K, a.data + i * K * K, kTransposed ? 1 : K, kTransposed ? K : 1, state.data + i * K * V,
                          V, out.data + i * K * V, V, Sum::add);
  });
}

}  // namespace

const ScanKernels<float>& scan_table() {
  static const ScanKernels<float> table = [] {
    ScanKernels<float> t = ScanPass<VectorMath>::table(scan_ref<float>());
    t.advance = fold<false>;
    t.retreat = fold<true>;
    return t;
  }();
  return table;
}

}  // namespace og::OG_ISA

// Norms, vectorised by the compiler for OG_ISA. Per row 2 D floats read, D written.
#include "framework/kernels/norm.h"

#include <cmath>

namespace og::OG_ISA {

namespace {

void rms_forward(const Stream& stream, View<float, 2> y, View<float, 1> rstd, View<const float, 2> x,
                 View<const float, 2> w, float eps) {
  const int64_t width = x.shape[1], groups = w.shape[0];
  stream.parallel_for(x.shape[0], 16384 / (width + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* xr = &x(r);
      const float* wr = &w(r % groups);
      float* yr = &y(r);
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t d = 0; d < width; ++d) sum += xr[d] * xr[d];
      const float s = 1.0F / std::sqrt(sum / static_cast<float>(width) + eps);
      rstd(r) = s;
#pragma omp simd
      for (int64_t d = 0; d < width; ++d) yr[d] = xr[d] * s * wr[d];
    }
  });
}

}  // namespace

const NormKernels<float>& norm_table() {
  static const NormKernels<float> table = [] {
    NormKernels<float> t = norm_ref<float>();
    t.rms_forward = rms_forward;
    return t;
  }();
  return table;
}

}  // namespace og::OG_ISA

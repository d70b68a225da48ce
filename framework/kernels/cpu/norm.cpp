// Norms, vectorised by the compiler for OG_ISA. Per row 2 D floats read, D written.
#include "framework/kernels/norm.h"

#include <algorithm>
#include <cmath>

#include "framework/kernels/cpu/simd.h"

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

// dw in two passes over rows would read x and dy again; instead each thread takes a range of rows for dx, then a range
// of columns for dw, so that every sum runs over the rows in order at any number of threads.
void rms_backward(const Stream& stream, View<float, 2> dx, Put put_dx, View<float, 2> dw, Put put_dw,
                  View<const float, 2> dy, View<const float, 2> x, View<const float, 2> w, View<const float, 1> rstd) {
  const int64_t rows = x.shape[0], width = x.shape[1], groups = w.shape[0];
  if (dx) {
    stream.parallel_for(rows, 16384 / (width + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* xr = &x(r);
        const float* gr = &dy(r);
        const float* wr = &w(r % groups);
        float* out = &dx(r);
        const float s = rstd(r);
        float dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t d = 0; d < width; ++d) dot += gr[d] * wr[d] * xr[d];
        const float mean = dot * s * s / static_cast<float>(width);
        if (put_dx == Put::add) {
#pragma omp simd
          for (int64_t d = 0; d < width; ++d) out[d] += s * (gr[d] * wr[d] - xr[d] * mean);
        } else {
#pragma omp simd
          for (int64_t d = 0; d < width; ++d) out[d] = s * (gr[d] * wr[d] - xr[d] * mean);
        }
      }
    });
  }
  if (!dw) return;
  stream.parallel_for(width, std::max<int64_t>(16, 32768 / (rows + 1)), [&](int64_t begin, int64_t end) {
    if (put_dw == Put::write)
      for (int64_t g = 0; g < groups; ++g) std::fill(&dw(g) + begin, &dw(g) + end, 0.0F);
    for (int64_t r = 0; r < rows; ++r) {
      const float* xr = &x(r);
      const float* gr = &dy(r);
      float* out = &dw(r % groups);
      const float s = rstd(r);
#pragma omp simd
      for (int64_t d = begin; d < end; ++d) out[d] += gr[d] * xr[d] * s;
    }
  });
}

template <class Body>
void each_row(const Stream& stream, int64_t rows, int64_t width, Body&& body) {
  stream.parallel_for(rows, 4096 / (width + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r);
  });
}

void softmax_forward(const Stream& stream, View<float, 2> y, View<const float, 2> x) {
  const int64_t width = x.shape[1];
  each_row(stream, x.shape[0], width, [&](int64_t r) {
    const float* xr = &x(r);
    float* yr = &y(r);
    float most = -HUGE_VALF;  // a NaN comes in by the sum
#pragma omp simd reduction(max : most)
    for (int64_t d = 0; d < width; ++d) most = xr[d] > most ? xr[d] : most;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < width; ++d) {
      const float e = exponential_of_gate(xr[d] - most);
      yr[d] = e;
      sum += e;
    }
#pragma omp simd
    for (int64_t d = 0; d < width; ++d) yr[d] /= sum;
  });
}

void softmax_backward(const Stream& stream, View<float, 2> dx, Put put, View<const float, 2> dy,
                      View<const float, 2> y) {
  const int64_t width = y.shape[1];
  each_row(stream, y.shape[0], width, [&](int64_t r) {
    const float* yr = &y(r);
    const float* gr = &dy(r);
    float* out = &dx(r);
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t d = 0; d < width; ++d) dot += yr[d] * gr[d];
    if (put == Put::add) {
#pragma omp simd
      for (int64_t d = 0; d < width; ++d) out[d] += yr[d] * (gr[d] - dot);
    } else {
#pragma omp simd
      for (int64_t d = 0; d < width; ++d) out[d] = yr[d] * (gr[d] - dot);
    }
  });
}

void divide_by_last_forward(const Stream& stream, View<float, 2> y, View<const float, 2> x, float eps) {
  const int64_t width = y.shape[1];
  each_row(stream, y.shape[0], width, [&](int64_t r) {
    const float* xr = &x(r);
    float* yr = &y(r);
    const float inverse = 1.0F / (xr[width] + eps);
#pragma omp simd
    for (int64_t d = 0; d < width; ++d) yr[d] = xr[d] * inverse;
  });
}

void divide_by_last_backward(const Stream& stream, View<float, 2> dx, Put put, View<const float, 2> dy,
                             View<const float, 2> x, float eps) {
  const int64_t width = dy.shape[1];
  each_row(stream, dy.shape[0], width, [&](int64_t r) {
    const float* xr = &x(r);
    const float* gr = &dy(r);
    float* out = &dx(r);
    const float inverse = 1.0F / (xr[width] + eps);
    float last = 0;
#pragma omp simd reduction(+ : last)
    for (int64_t d = 0; d < width; ++d) last += gr[d] * xr[d] * inverse;
    last *= -inverse;
    if (put == Put::add) {
#pragma omp simd
      for (int64_t d = 0; d < width; ++d) out[d] += gr[d] * inverse;
      out[width] += last;
    } else {
#pragma omp simd
      for (int64_t d = 0; d < width; ++d) out[d] = gr[d] * inverse;
      out[width] = last;
    }
  });
}

}  // namespace

const NormKernels<float>& norm_table() {
  static const NormKernels<float> table = [] {
    NormKernels<float> t = norm_ref<float>();
    t.rms_forward = rms_forward;
    t.rms_backward = rms_backward;
    t.softmax_forward = softmax_forward;
    t.softmax_backward = softmax_backward;
    t.divide_by_last_forward = divide_by_last_forward;
    t.divide_by_last_backward = divide_by_last_backward;
    return t;
  }();
  return table;
}

}  // namespace og::OG_ISA

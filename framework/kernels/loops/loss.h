// The loops of LossKernels, shared by the reference and the vectorised kernels; Math gives exp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "framework/kernels/loss.h"

namespace og {

template <class T, class Math>
struct LossLoops {
  template <class Body>
  static void each_row(const Stream& stream, int64_t rows, int64_t width, Body&& body) {
    stream.parallel_for(rows, (1 << 13) / (width + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) body(r);
    });
  }

  static void row_max(const Stream& stream, View<T, 1> most, View<const T, 2> logits, int64_t valid) {
    each_row(stream, logits.shape[0], valid, [&](int64_t r) {
      const T* l = &logits(r);
      T m = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : m)
      for (int64_t c = 0; c < valid; ++c) m = l[c] > m ? l[c] : m;
      // A comparison with NaN is false: let one NaN show.
      T probe = 0;
#pragma omp simd reduction(+ : probe)
      for (int64_t c = 0; c < valid; ++c) probe += l[c] * 0;
      most(r) = probe == 0 ? m : std::numeric_limits<T>::quiet_NaN();
    });
  }

  static void exponentials(const Stream& stream, View<T, 2> logits, View<T, 1> sum, View<T, 1> picked,
                           View<const T, 1> most, View<const int32_t, 1> target, int64_t valid) {
    const int64_t width = logits.shape[1];
    each_row(stream, logits.shape[0], width, [&](int64_t r) {
      T* l = &logits(r);
      const T m = most(r);
      picked(r) = target(r) >= 0 && target(r) < valid ? l[target(r)] - m : T{0};
      T s = 0;
#pragma omp simd reduction(+ : s)
      for (int64_t c = 0; c < valid; ++c) {
        const T e = Math::exp(l[c] - m);
        l[c] = e;
        s += e;
      }
      std::fill(l + valid, l + width, T{0});
      sum(r) = s;
    });
  }

  static void gradient(const Stream& stream, View<T, 2> e, View<const T, 1> sum, View<const int32_t, 1> target,
                       View<const int32_t, 1> keep, int64_t valid) {
    const int64_t width = e.shape[1];
    each_row(stream, e.shape[0], width, [&](int64_t r) {
      T* row = &e(r);
      if (!keep(r)) {
        std::fill(row, row + width, T{0});
        return;
      }
      const T f = 1 / sum(r);
#pragma omp simd
      for (int64_t c = 0; c < valid; ++c) row[c] *= f;
      if (target(r) >= 0 && target(r) < valid) row[target(r)] -= 1;
    });
  }

  static constexpr LossKernels<T> table() { return {row_max, exponentials, gradient}; }
};

}  // namespace og

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

  static void localise(const Stream& stream, View<int32_t, 1> local, View<int32_t, 1> keep,
                       View<const int32_t, 1> target, int64_t first, int64_t valid) {
    each_row(stream, target.size(), 1, [&](int64_t r) {
      const int64_t t = target(r);
      keep(r) = t >= 0;
      local(r) = t >= first && t < first + valid ? static_cast<int32_t>(t - first) : -1;
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

  static void row_loss(const Stream& stream, View<T, 1> loss, View<const T, 1> sum, View<const T, 1> picked,
                       View<const int32_t, 1> keep) {
    each_row(stream, loss.size(), 1, [&](int64_t r) { loss(r) = keep(r) ? std::log(sum(r)) - picked(r) : T{0}; });
  }

  static void total(const Stream&, View<T, 1> y, View<const T, 1> loss) {
    double sum = 0;
    for (int64_t r = 0; r < loss.size(); ++r) sum += static_cast<double>(loss(r));
    y(0) = static_cast<T>(sum);
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

  static constexpr LossKernels<T> table() {
    return {.localise = localise,
            .row_max = row_max,
            .exponentials = exponentials,
            .row_loss = row_loss,
            .total = total,
            .gradient = gradient};
  }
};

}  // namespace og

// The loops of GateKernels, shared by the reference (libm) and the vectorised kernels: `Math` gives exp and log1p of an
// element.
#pragma once

#include <vector>

#include "framework/kernels/gates.h"
#include "framework/kernels/loops/pointwise.h"

namespace og {

template <class T, class Math>
struct GateLoops {
  static constexpr int64_t kLeast = 1 << 12;  // elements that are worth a thread

  static void constant(const Stream& stream, View<T, 2> g, View<const double, 1> log_decay) {
    const int64_t heads = g.shape[1];
    stream.parallel_for(g.shape[0], kLeast / (heads + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t h = 0; h < heads; ++h) g(r, h) = static_cast<T>(log_decay(h));
    });
  }

  // A few numbers: one thread.
  static void lower_bound_forward(const Stream&, View<T, 1> bound, View<T, 2> share, View<const T, 2> x,
                                  int64_t layer) {
    const int64_t layers = x.shape[0];
    for (int64_t c = 0; c < x.shape[1]; ++c) {
      T most = x(0, c), sum = 0;
      for (int64_t i = 1; i < layers; ++i) most = std::max(most, x(i, c));
      for (int64_t i = 0; i < layers; ++i) sum += share(i, c) = std::exp(x(i, c) - most);
      for (int64_t i = 0; i < layers; ++i) share(i, c) /= sum;
      bound(c) = sum_of(share, c, layer);
    }
  }

  static void lower_bound_backward(const Stream&, View<T, 2> dx, Put put, View<const T, 1> dbound,
                                   View<const T, 2> share, int64_t layer) {
    for (int64_t c = 0; c < share.shape[1]; ++c) {
      const T bound = sum_of(share, c, layer);
      for (int64_t i = 0; i < share.shape[0]; ++i)
        store(dx(i, c), put, dbound(c) * share(i, c) * ((i >= 1 && i <= layer ? T{1} : T{0}) - bound));
    }
  }

  static void bounded_forward(const Stream& stream, View<T, 2> g, View<const T, 2> x, View<const T, 1> bound) {
    const int64_t width = x.shape[1];
    std::vector<T> logs(static_cast<size_t>(2 * width));
    T *of_bound = logs.data(), *of_rest = of_bound + width;
    for (int64_t c = 0; c < width; ++c) {
      of_bound[c] = std::log(bound(c));
      of_rest[c] = std::log1p(-bound(c));
    }
    for_rows(stream, x, [&](int64_t r) {
      const T* in = &x(r);
      T* out = &g(r);
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) {
        const T lower = of_bound[c], upper = of_rest[c] - Elements<T, Math>::softplus(-in[c]);
        const T most = std::max(lower, upper), least = std::min(lower, upper);
        const T both = std::min(T{0}, most + Math::log1p(Math::exp(least - most)));
        out[c] = bound.data[c] > 0 ? both : upper;
      }
    });
  }

  static void bounded_backward(const Stream& stream, View<T, 2> dx, Put put_x, View<T, 1> dbound, Put put_bound,
                               View<const T, 2> dg, View<const T, 2> x, View<const T, 1> bound, View<const T, 2> g) {
    const int64_t width = x.shape[1];
    if (dx)
      for_rows(stream, x, [&](int64_t r) {
        const T *in = &x(r), *d = &dg(r), *log = &g(r);
        T* out = &dx(r);
#pragma omp simd
        for (int64_t c = 0; c < width; ++c) {
          const T s = Elements<T, Math>::sigmoid(in[c]);
          store(out[c], put_x, d[c] * (1 - bound.data[c]) * s * (1 - s) / Math::exp(log[c]));
        }
      });
    if (!dbound) return;
    std::vector<double> sums(static_cast<size_t>(width), 0.0);
    stream.parallel_for(width, kLeast / (x.shape[0] + 1) + 1, [&](int64_t begin, int64_t end) {
      double* to = sums.data();
      for (int64_t r = 0; r < x.shape[0]; ++r) {
        const T *in = &x(r), *d = &dg(r), *log = &g(r);
#pragma omp simd
        for (int64_t c = begin; c < end; ++c) {
          const T s = Elements<T, Math>::sigmoid(in[c]);
          to[c] += static_cast<double>(d[c] * (1 - s) / Math::exp(log[c]));
        }
      }
    });
    for (int64_t c = 0; c < width; ++c) store(dbound(c), put_bound, static_cast<T>(sums[static_cast<size_t>(c)]));
  }

  static constexpr GateKernels<T> table() {
    return {.constant = constant,
            .lower_bound_forward = lower_bound_forward,
            .lower_bound_backward = lower_bound_backward,
            .bounded_forward = bounded_forward,
            .bounded_backward = bounded_backward};
  }

 private:
  static T sum_of(View<const T, 2> share, int64_t c, int64_t layer) {
    T sum = 0;
    for (int64_t i = 1; i <= layer; ++i) sum += share(i, c);
    return sum;
  }
  template <class Body>
  static void for_rows(const Stream& stream, View<const T, 2> x, Body&& body) {
    stream.parallel_for(x.shape[0], kLeast / (x.shape[1] + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) body(r);
    });
  }
};

}  // namespace og

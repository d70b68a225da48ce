// The loops of PointwiseKernels over an element functor, shared by the reference (plain loops, libm) and the vectorised
// kernels: `Math` gives exp, log1p and the like of an element.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "framework/core/error.h"
#include "framework/kernels/pointwise.h"

namespace og {

template <class T, class Math>
struct Elements {
  static T sigmoid(T x) { return T{1} / (T{1} + Math::exp(-x)); }
  static T softplus(T x) { return std::max(x, T{0}) + Math::log1p(Math::exp(-std::abs(x))); }

  // Calls body(f, df) where f(x) is the function and df(x) its derivative.
  template <class Body>
  static void visit(Unary u, Body&& body) {
    switch (u) {
      case Unary::identity:
        return body([](T x) { return x; }, [](T) { return T{1}; });
      case Unary::silu:
        return body([](T x) { return x * sigmoid(x); },
                    [](T x) {
                      const T s = sigmoid(x);
                      return s * (1 + x * (1 - s));
                    });
      case Unary::sigmoid:
        return body([](T x) { return sigmoid(x); },
                    [](T x) {
                      // Not s (1 - s), which loses its digits where s is near 1.
                      const T e = Math::exp(-std::abs(x));
                      return e / ((1 + e) * (1 + e));
                    });
      case Unary::softplus:
        return body([](T x) { return softplus(x); }, [](T x) { return sigmoid(x); });
      case Unary::relu:
        return body([](T x) { return x > 0 ? x : T{0}; }, [](T x) { return x > 0 ? T{1} : T{0}; });
      case Unary::squared_relu:
        return body([](T x) { return x > 0 ? x * x : T{0}; }, [](T x) { return x > 0 ? 2 * x : T{0}; });
      case Unary::gelu:
        // Not 1 + erf, which loses its digits for x well below 0.
        return body(
            [](T x) { return T(0.5) * x * Math::two_phi(x); },
            [](T x) { return T(0.5) * Math::two_phi(x) + x * Math::exp(T(-0.5) * x * x) * T(0.39894228040143267794); });
      case Unary::elu_plus_one:
        return body([](T x) { return x > 0 ? x + 1 : Math::exp(std::min(x, T{0})); },
                    [](T x) { return x > 0 ? T{1} : Math::exp(std::min(x, T{0})); });
      case Unary::exp:
        return body([](T x) { return Math::exp(x); }, [](T x) { return Math::exp(x); });
      case Unary::log_sigmoid:
        return body([](T x) { return -softplus(-x); }, [](T x) { return sigmoid(-x); });
      case Unary::one_minus_exp:
        return body([](T x) { return Math::one_minus_exp(x); }, [](T x) { return -Math::exp(x); });
      case Unary::neg_exp:
        return body([](T x) { return -Math::exp(x); }, [](T x) { return -Math::exp(x); });
    }
    OG_CHECK(false, "unknown pointwise function");
  }
};

template <class T, class Math>
struct PointwiseLoops {
  static constexpr int64_t kLeast = 1 << 14;  // elements that are worth a thread

  static void unary_forward(const Stream& stream, Unary u, View<T, 1> y, View<const T, 1> x) {
    Elements<T, Math>::visit(u, [&](auto f, auto) {
      stream.parallel_for(y.size(), kLeast, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) y.data[i] = f(x.data[i]);
      });
    });
  }

  static void unary_backward(const Stream& stream, Unary u, View<T, 1> dx, Put put, View<const T, 1> dy,
                             View<const T, 1> x) {
    Elements<T, Math>::visit(u, [&](auto, auto df) {
      stream.parallel_for(dx.size(), kLeast, [&](int64_t begin, int64_t end) {
        if (put == Put::add) {
#pragma omp simd
          for (int64_t i = begin; i < end; ++i) dx.data[i] += dy.data[i] * df(x.data[i]);
        } else {
#pragma omp simd
          for (int64_t i = begin; i < end; ++i) dx.data[i] = dy.data[i] * df(x.data[i]);
        }
      });
    });
  }

  static void add(const Stream& stream, View<T, 1> y, View<const T, 1> a, View<const T, 1> b) {
    stream.parallel_for(y.size(), kLeast, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) y.data[i] = a.data[i] + b.data[i];
    });
  }

  static void multiply(const Stream& stream, View<T, 1> y, Put put, View<const T, 1> a, View<const T, 1> b) {
    stream.parallel_for(y.size(), kLeast, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) store(y.data[i], put, a.data[i] * b.data[i]);
    });
  }

  static void scale(const Stream& stream, View<T, 1> y, Put put, View<const T, 1> x, T c) {
    stream.parallel_for(y.size(), kLeast, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) store(y.data[i], put, x.data[i] * c);
    });
  }

  static void scale_by(const Stream& stream, View<T, 1> y, Put put, View<const T, 1> x, View<const T, 1> c) {
    scale(stream, y, put, x, c(0));
  }

  static void silu_multiply_forward(const Stream& stream, View<T, 1> y, View<const T, 1> gate, View<const T, 1> up) {
    stream.parallel_for(y.size(), kLeast, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i)
        y.data[i] = gate.data[i] * Elements<T, Math>::sigmoid(gate.data[i]) * up.data[i];
    });
  }

  static void silu_multiply_backward(const Stream& stream, View<T, 1> dgate, Put put_gate, View<T, 1> dup, Put put_up,
                                     View<const T, 1> dy, View<const T, 1> gate, View<const T, 1> up) {
    stream.parallel_for(dy.size(), kLeast, [&](int64_t begin, int64_t end) {
      if (dgate) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) {
          const T s = Elements<T, Math>::sigmoid(gate.data[i]);
          store(dgate.data[i], put_gate, dy.data[i] * up.data[i] * s * (1 + gate.data[i] * (1 - s)));
        }
      }
      if (dup) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i)
          store(dup.data[i], put_up, dy.data[i] * gate.data[i] * Elements<T, Math>::sigmoid(gate.data[i]));
      }
    });
  }

  static void add_columns(const Stream& stream, View<T, 2> y, View<const T, 2> x, View<const T, 1> b) {
    each_row(stream, x.shape[0], x.shape[1], [&](int64_t r) {
      T* yr = &y(r);
      const T* xr = &x(r);
#pragma omp simd
      for (int64_t d = 0; d < x.shape[1]; ++d) yr[d] = xr[d] + b.data[d];
    });
  }

  static void multiply_columns(const Stream& stream, View<T, 2> y, Put put, View<const T, 2> x, View<const T, 1> b) {
    each_row(stream, x.shape[0], x.shape[1], [&](int64_t r) {
      T* yr = &y(r);
      const T* xr = &x(r);
#pragma omp simd
      for (int64_t d = 0; d < x.shape[1]; ++d) store(yr[d], put, xr[d] * b.data[d]);
    });
  }

  // Threads take columns, so that each sum runs over the rows in order whatever the number of threads.
  static void sum_columns(const Stream& stream, View<T, 1> db, Put put, View<const T, 2> dy, View<const T, 2> x) {
    const int64_t rows = dy.shape[0], width = dy.shape[1];
    stream.parallel_for(width, std::max<int64_t>(16, kLeast / (rows + 1)), [&](int64_t begin, int64_t end) {
      if (put == Put::write) std::fill(db.data + begin, db.data + end, T{0});
      for (int64_t r = 0; r < rows; ++r) {
        const T* g = &dy(r);
        if (x) {
          const T* xr = &x(r);
#pragma omp simd
          for (int64_t d = begin; d < end; ++d) db.data[d] += g[d] * xr[d];
        } else {
#pragma omp simd
          for (int64_t d = begin; d < end; ++d) db.data[d] += g[d];
        }
      }
    });
  }

  static void multiply_rows(const Stream& stream, View<T, 2> y, Put put, View<const T, 2> x, View<const T, 1> s) {
    each_row(stream, x.shape[0], x.shape[1], [&](int64_t r) {
      T* yr = &y(r);
      const T* xr = &x(r);
      const T f = s(r);
#pragma omp simd
      for (int64_t d = 0; d < x.shape[1]; ++d) store(yr[d], put, xr[d] * f);
    });
  }

  static void dot_rows(const Stream& stream, View<T, 1> ds, Put put, View<const T, 2> dy, View<const T, 2> x) {
    each_row(stream, x.shape[0], x.shape[1], [&](int64_t r) {
      const T* g = &dy(r);
      const T* xr = &x(r);
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t d = 0; d < x.shape[1]; ++d) sum += g[d] * xr[d];
      store(ds(r), put, sum);
    });
  }

  static void sum_repeats(const Stream& stream, View<T, 2> dx, Put put, View<const T, 2> dy, int64_t n) {
    const int64_t width = dx.shape[1];
    each_row(stream, dx.shape[0], width * n, [&](int64_t r) {
      T* out = &dx(r);
      const T* first = &dy(r * n);
#pragma omp simd
      for (int64_t d = 0; d < width; ++d) {
        T sum = 0;
        for (int64_t i = 0; i < n; ++i) sum += first[i * width + d];
        store(out[d], put, sum);
      }
    });
  }

  static constexpr PointwiseKernels<T> table() {
    return {.unary_forward = unary_forward,
            .unary_backward = unary_backward,
            .add = add,
            .multiply = multiply,
            .scale = scale,
            .scale_by = scale_by,
            .silu_multiply_forward = silu_multiply_forward,
            .silu_multiply_backward = silu_multiply_backward,
            .add_columns = add_columns,
            .multiply_columns = multiply_columns,
            .sum_columns = sum_columns,
            .multiply_rows = multiply_rows,
            .dot_rows = dot_rows,
            .sum_repeats = sum_repeats};
  }

 private:
  template <class Body>
  static void each_row(const Stream& stream, int64_t rows, int64_t width, Body&& body) {
    stream.parallel_for(rows, kLeast / (width + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) body(r);
    });
  }
};

}  // namespace og

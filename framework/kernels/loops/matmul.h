// The table of products from one of them: what all implementations share. `Product`, of type
// void(const Stream&, Transpose, Matrix<T> c, Put, Matrix<const T> a, Matrix<const T> b).
#pragma once

#include <algorithm>

#include "framework/core/error.h"
#include "framework/kernels/matmul.h"

namespace og {

template <class T>
void write_zeros(Matrix<T> c) {
  for (int64_t i = 0; i < c.rows; ++i) std::fill_n(c.row(i), c.columns, T{0});
}

template <class T, auto Product>
struct MatmulLoops {
  static void checked(const Stream& stream, Transpose transpose, Matrix<T> c, Put put, Matrix<const T> a,
                      Matrix<const T> b) {
    const int64_t m = transpose == Transpose::tn ? a.columns : a.rows,
                  ka = transpose == Transpose::tn ? a.rows : a.columns;
    const int64_t n = transpose == Transpose::nt ? b.rows : b.columns,
                  kb = transpose == Transpose::nt ? b.columns : b.rows;
    OG_CHECK(c.rows == m && c.columns == n && ka == kb, "matmul: [{}, {}] from [{}, {}] and [{}, {}], transpose {}",
             c.rows, c.columns, a.rows, a.columns, b.rows, b.columns, static_cast<int>(transpose));
    Product(stream, transpose, c, put, a, b);
  }

  static void multiply(const Stream& stream, Transpose transpose, View<T, 2> c, Put put, View<const T, 2> a,
                       View<const T, 2> b) {
    checked(stream, transpose, c, put, a, b);
  }

  static void batched(const Stream& stream, Transpose transpose, int64_t count, MatrixBatch<T> c, Put put,
                      MatrixBatch<const T> a, MatrixBatch<const T> b) {
    for (int64_t i = 0; i < count; ++i) checked(stream, transpose, c[i], put, a[i], b[i]);
  }

  static void grouped_rows(const Stream& stream, Transpose transpose, View<T, 2> c, Put put, View<const T, 2> a,
                           View<const T, 3> b, View<const int64_t, 1> begin) {
    OG_CHECK(transpose != Transpose::tn, "matmul: groups of rows by tn");
    check_groups(b.shape[0], a.shape[0], begin);
    for (int64_t e = 0; e < b.shape[0]; ++e)
      checked(stream, transpose, group(c, begin, e), put, group(a, begin, e), matrix(b, e));
    const int64_t last = begin(b.shape[0]);
    if (put == Put::write)
      write_zeros(Matrix<T>{c.data + last * c.shape[1], c.shape[0] - last, c.shape[1], c.shape[1]});
  }

  static void grouped_weights(const Stream& stream, View<T, 3> c, Put put, View<const T, 2> a, View<const T, 2> b,
                              View<const int64_t, 1> begin) {
    check_groups(c.shape[0], a.shape[0], begin);
    for (int64_t e = 0; e < c.shape[0]; ++e)
      checked(stream, Transpose::tn, matrix(c, e), put, group(a, begin, e), group(b, begin, e));
  }

  static constexpr MatmulKernels<T> table() {
    return {.multiply = multiply, .batched = batched, .grouped_rows = grouped_rows, .grouped_weights = grouped_weights};
  }

 private:
  static void check_groups(int64_t groups, int64_t rows, View<const int64_t, 1> begin) {
    OG_CHECK(begin.size() == groups + 1 && begin(0) == 0 && begin(groups) <= rows,
             "matmul: {} row borders for {} groups and {} rows", begin.size(), groups, rows);
  }
  template <class U>
  static Matrix<U> group(View<U, 2> x, View<const int64_t, 1> begin, int64_t e) {
    return {x.data + begin(e) * x.shape[1], begin(e + 1) - begin(e), x.shape[1], x.shape[1]};
  }
  template <class U>
  static Matrix<U> matrix(View<U, 3> x, int64_t e) {
    return {x.data + e * x.shape[1] * x.shape[2], x.shape[1], x.shape[2], x.shape[2]};
  }
};

}  // namespace og

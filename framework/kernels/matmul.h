// Products of matrices. C [M, N] is written or added to.
//   nt: A [M, K] B [N, K]^T   (y = x w^T)
//   nn: A [M, K] B [K, N]     (dx = dy w)
//   tn: A [K, M]^T B [K, N]   (dw = dy^T x)
// An empty contraction (K = 0) writes zeros. With Stream::products == bf16, float inputs are rounded to bf16 and sums
// kept in f32. Products::none: see stream.h. Thread safe; scratch memory belongs to the calling thread and is reused.
#pragma once

#include "framework/core/stream.h"
#include "framework/core/view.h"

namespace og {

enum class Transpose : unsigned char { nt, nn, tn };

// A matrix whose rows may lie apart: element (i, j) is data[i * lead + j].
template <class T>
struct Matrix {
  T* data;
  int64_t rows, columns, lead;

  Matrix(T* d, int64_t r, int64_t c, int64_t l) : data(d), rows(r), columns(c), lead(l) {}
  Matrix(View<T, 2> v) : Matrix(v.data, v.shape[0], v.shape[1], v.shape[1]) {}
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) Matrix(const Matrix<U>& other)
      : Matrix(other.data, other.rows, other.columns, other.lead) {}

  T* row(int64_t i) const { return data + i * lead; }
};

// Matrices of one shape, `step` elements from one to the next.
template <class T>
struct MatrixBatch {
  Matrix<T> first;
  int64_t step = 0;

  Matrix<T> operator[](int64_t i) const { return {first.data + i * step, first.rows, first.columns, first.lead}; }
};

template <class T>
struct MatmulKernels {
  void (*multiply)(const Stream&, Transpose, View<T, 2> c, Put, View<const T, 2> a, View<const T, 2> b);
  // `count` products: C_i from A_i and B_i. The C_i do not overlap.
  void (*batched)(const Stream&, Transpose, int64_t count, MatrixBatch<T> c, Put, MatrixBatch<const T> a,
                  MatrixBatch<const T> b);
  // Groups of rows, group e the rows [begin_e, begin_(e + 1)); begin [E + 1] from 0. Any may be empty. Rows behind the
  // last border belong to none: zeros where they are written.
  // By nt or nn: the rows of a group in C from those in A, with the group's own matrix b_e.
  void (*grouped_rows)(const Stream&, Transpose, View<T, 2> c, Put, View<const T, 2> a, View<const T, 3> b,
                       View<const int64_t, 1> begin);
  // c_e = A_e^T B_e over the rows of group e; zeros where it has none.
  void (*grouped_weights)(const Stream&, View<T, 3> c, Put, View<const T, 2> a, View<const T, 2> b,
                          View<const int64_t, 1> begin);
};

// Plain loops: the definition of truth.
template <class T>
const MatmulKernels<T>& matmul_ref();
// The library behind the float products. onednn/: oneDNN; no_onednn.cpp: a build without it, which computes with
// matmul_ref.
const MatmulKernels<float>& matmul_library();
const char* matmul_library_name();  // "oneDNN 2.6.0" or "none (built without oneDNN)"
// Also by Stream::products: a table that multiplies nothing for Products::none.
template <class T>
const MatmulKernels<T>& matmul_kernels(const Stream& stream);

// The processor multiplies bf16 itself (AVX-512 BF16 or AMX) and the library makes use of it.
bool bf16_is_native();

}  // namespace og

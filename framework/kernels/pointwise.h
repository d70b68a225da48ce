// Functions of single elements, and products with one factor a row or a column.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

// y = f(x). silu: x sigmoid(x). gelu: x Phi(x), exact. elu_plus_one: x + 1 for x > 0, else e^x. one_minus_exp: 1 - e^x.
// neg_exp: -e^x.
enum class Unary : unsigned char {
  identity,
  silu,
  sigmoid,
  softplus,
  relu,
  squared_relu,
  gelu,
  elu_plus_one,
  exp,
  log_sigmoid,
  one_minus_exp,
  neg_exp
};
constexpr int kNumUnary = static_cast<int>(Unary::neg_exp) + 1;
const char* name_of(Unary f);

template <class T>
struct PointwiseKernels {
  void (*unary_forward)(const Stream&, Unary f, View<T, 1> y, View<const T, 1> x);
  // dx = dy f'(x).
  void (*unary_backward)(const Stream&, Unary f, View<T, 1> dx, Put put, View<const T, 1> dy, View<const T, 1> x);
  // y = a + b; y = a b; y = c x.
  void (*add)(const Stream&, View<T, 1> y, View<const T, 1> a, View<const T, 1> b);
  void (*multiply)(const Stream&, View<T, 1> y, Put put, View<const T, 1> a, View<const T, 1> b);
  void (*scale)(const Stream&, View<T, 1> y, Put put, View<const T, 1> x, T c);
  // y = c_0 x: a factor that was computed.
  void (*scale_by)(const Stream&, View<T, 1> y, Put put, View<const T, 1> x, View<const T, 1> c);
  // SwiGLU (arXiv 2002.05202): y = silu(gate) up; dgate and dup from dy, either may be null.
  void (*silu_multiply_forward)(const Stream&, View<T, 1> y, View<const T, 1> gate, View<const T, 1> up);
  void (*silu_multiply_backward)(const Stream&, View<T, 1> dgate, Put put_gate, View<T, 1> dup, Put put_up,
                                 View<const T, 1> dy, View<const T, 1> gate, View<const T, 1> up);
  // Columns: y_rd = x_rd + b_d or x_rd b_d; db_d = sum_r dy_rd, or sum_r dy_rd x_rd (x null: the first).
  void (*add_columns)(const Stream&, View<T, 2> y, View<const T, 2> x, View<const T, 1> b);
  void (*multiply_columns)(const Stream&, View<T, 2> y, Put put, View<const T, 2> x, View<const T, 1> b);
  void (*sum_columns)(const Stream&, View<T, 1> db, Put put, View<const T, 2> dy, View<const T, 2> x);
  // Rows: y_rd = x_rd s_r; ds_r = sum_d dy_rd x_rd.
  void (*multiply_rows)(const Stream&, View<T, 2> y, Put put, View<const T, 2> x, View<const T, 1> s);
  void (*dot_rows)(const Stream&, View<T, 1> ds, Put put, View<const T, 2> dy, View<const T, 2> x);
  // Rows that stand n times: dx_rd = sum over i < n of dy_(r n + i)d, in the order of i. dx [R, D], dy [R n, D].
  void (*sum_repeats)(const Stream&, View<T, 2> dx, Put put, View<const T, 2> dy, int64_t n);
};

template <class T>
const PointwiseKernels<T>& pointwise_ref();
OG_CPU_TABLE(PointwiseKernels<float>, pointwise_table)
template <class T>
const PointwiseKernels<T>& pointwise_kernels(const Stream& stream);

}  // namespace og

// Gates that are not one function of one number (those are pointwise.h): the natural logarithm of what a state keeps.
// R rows (tokens), C channels, H heads, L layers.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

template <class T>
struct GateKernels {
  // A decay of the head alone: g_rh = log_decay_h.
  void (*constant)(const Stream&, View<T, 2> g, View<const double, 1> log_decay);
  // HGRN2's lower bound (arXiv 2404.07904), which rises with the layer: share_ic = softmax over i of x_ic, x [L, C];
  // bound_c = sum of share_ic over 1 <= i <= layer. share is kept for backward.
  void (*lower_bound_forward)(const Stream&, View<T, 1> bound, View<T, 2> share, View<const T, 2> x, int64_t layer);
  // dx_ic = dbound_c share_ic ([1 <= i <= layer] - bound_c).
  void (*lower_bound_backward)(const Stream&, View<T, 2> dx, Put put, View<const T, 1> dbound, View<const T, 2> share,
                               int64_t layer);
  // g_rc = log(bound_c + (1 - bound_c) sigmoid(x_rc)), as logaddexp(log bound, log(1 - bound) + log sigmoid(x));
  // bound in [0, 1).
  void (*bounded_forward)(const Stream&, View<T, 2> g, View<const T, 2> x, View<const T, 1> bound);
  // With s = sigmoid(x): dx = dg (1 - bound) s (1 - s) / exp(g), dbound_c = sum_r dg (1 - s) / exp(g), rows in their
  // order and in double. Null dx or dbound: not wanted.
  void (*bounded_backward)(const Stream&, View<T, 2> dx, Put put_x, View<T, 1> dbound, Put put_bound,
                           View<const T, 2> dg, View<const T, 2> x, View<const T, 1> bound, View<const T, 2> g);
};

template <class T>
const GateKernels<T>& gate_ref();
OG_CPU_TABLE(GateKernels<float>, gate_table)
template <class T>
const GateKernels<T>& gate_kernels(const Stream& stream);

}  // namespace og

// Rows brought to a scale over their last dim: norms, softmax, division by a last element. R rows of width D.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

template <class T>
struct NormKernels {
  // RMS norm (arXiv 1910.07467): rstd_r = 1 / sqrt(mean_d x_rd^2 + eps), y_rd = x_rd rstd_r w_d.
  // Row r uses weights row r mod num_groups: w is [num_groups, D] (one group: an ordinary RMS norm; a group a head:
  // per-head weights on rows [.., H, D]). rstd is kept for backward.
  void (*rms_forward)(const Stream&, View<T, 2> y, View<T, 1> rstd, View<const T, 2> x, View<const T, 2> w, T eps);
  // dx_rd = rstd (dy_rd w_d - x_rd rstd^2 mean_d(dy w x)), dw_d = sum_r dy_rd x_rd rstd. Null dx or dw: not wanted.
  void (*rms_backward)(const Stream&, View<T, 2> dx, Put put_dx, View<T, 2> dw, Put put_dw, View<const T, 2> dy,
                       View<const T, 2> x, View<const T, 2> w, View<const T, 1> rstd);
  // rstd from mean squares that were summed over ranks: y = 1 / sqrt(x + eps), dx = -dy y^3 / 2.
  void (*inverse_root_forward)(const Stream&, View<T, 1> y, View<const T, 1> x, T eps);
  void (*inverse_root_backward)(const Stream&, View<T, 1> dx, Put put, View<const T, 1> dy, View<const T, 1> y);
  // y_rd = exp(x_rd - max_d x_rd) / sum over d of the same, dx_rd = y_rd (dy_rd - sum_d y_rd dy_rd).
  void (*softmax_forward)(const Stream&, View<T, 2> y, View<const T, 2> x);
  void (*softmax_backward)(const Stream&, View<T, 2> dx, Put put, View<const T, 2> dy, View<const T, 2> y);
  // x [R, D + 1], s_r = 1 / (x_rD + eps): y_rd = x_rd s_r, dx_rd = dy_rd s_r, dx_rD = -sum_d dy_rd x_rd s_r^2.
  void (*divide_by_last_forward)(const Stream&, View<T, 2> y, View<const T, 2> x, T eps);
  void (*divide_by_last_backward)(const Stream&, View<T, 2> dx, Put put, View<const T, 2> dy, View<const T, 2> x,
                                  T eps);
};

template <class T>
const NormKernels<T>& norm_ref();
OG_CPU_TABLE(NormKernels<float>, norm_table)
template <class T>
const NormKernels<T>& norm_kernels(const Stream& stream);

}  // namespace og

// Norms over the last dim. R rows of width D.
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
};

template <class T>
const NormKernels<T>& norm_ref();
OG_CPU_TABLE(NormKernels<float>, norm_table)
template <class T>
const NormKernels<T>& norm_kernels(const Stream& stream);

}  // namespace og

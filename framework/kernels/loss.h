// Softmax cross-entropy over blocks of rows, in pieces so that the vocabulary may be cut over ranks: [R, V] logits of
// which this rank holds V columns, the first `valid` of them real (padding after).
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

template <class T>
struct LossKernels {
  // This rank has columns [first, first + valid) of the vocabulary: local_r = target_r - first if it is one of them,
  // else -1. keep_r = 1 if the row has a target (>= 0), else 0.
  void (*localise)(const Stream&, View<int32_t, 1> local, View<int32_t, 1> keep, View<const int32_t, 1> target,
                   int64_t first, int64_t valid);
  // most_r = max over the valid columns, -infinity if there are none.
  void (*row_max)(const Stream&, View<T, 1> most, View<const T, 2> logits, int64_t valid);
  // logits_rc = exp(logits_rc - most_r), 0 in padding; sum_r = their sum. picked_r = logits_rc - most_r at c = target_r
  // before that, 0 if the target is not among this rank's columns (target_r < 0 or >= valid).
  void (*exponentials)(const Stream&, View<T, 2> logits, View<T, 1> sum, View<T, 1> picked, View<const T, 1> most,
                       View<const int32_t, 1> target, int64_t valid);
  // loss_r = log(sum_r) - picked_r from the sums over all ranks; 0 where keep_r == 0.
  void (*row_loss)(const Stream&, View<T, 1> loss, View<const T, 1> sum, View<const T, 1> picked,
                   View<const int32_t, 1> keep);
  // y [1] = the sum of loss, rows in their order and in double.
  void (*total)(const Stream&, View<T, 1> y, View<const T, 1> loss);
  // In place, from the exponentials and the sum over all ranks: d = e / sum - [c == target]. Rows with keep_r == 0
  // become 0.
  void (*gradient)(const Stream&, View<T, 2> e, View<const T, 1> sum, View<const int32_t, 1> target,
                   View<const int32_t, 1> keep, int64_t valid);
};

template <class T>
const LossKernels<T>& loss_ref();
OG_CPU_TABLE(LossKernels<float>, loss_table)
template <class T>
const LossKernels<T>& loss_kernels(const Stream& stream);

}  // namespace og

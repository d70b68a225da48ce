// The monoid of sequence mixers: a piece of the sequence is the affine map S_exit = A S_entry + B of a state
// S [B, H, K, V]. Its summary is one flat row, A [B, H, n], then B [B, H, K, V]; A is a number a head (n = 1), K of
// them, or a K x K matrix. Backward, gradients meet the pieces from the last to the first: A^T D + C, with C in the
// place of B.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

// Rows first, first + step, .. of a table of summaries, `count` of them, in the order in which a state meets them.
struct SummaryRun {
  int64_t first = 0, step = 1, count = 0;
  // Columns of a state are independent: it may be some of them, from `column` on, of the value_size that the maps have.
  int64_t column = 0, value_size = 0;  // value_size 0: as many as the state
};

template <class T>
struct SummaryKernels {
  // out: the state behind a run of maps [P, size], one launch for all of them: A state + B each, or A^T state + C.
  // state null: zero. work: as many elements as out, where the run has more than one. At least one map; out and work
  // are none of the inputs.
  void (*advance)(const Stream&, View<T, 4> out, View<T, 1> work, View<const T, 2> maps, SummaryRun run,
                  View<const T, 4> state);
  void (*retreat)(const Stream&, View<T, 4> out, View<T, 1> work, View<const T, 2> maps, SummaryRun run,
                  View<const T, 4> state);
  // The map of two neighbours as one: (A2 A1, A2 B1 + B2), and (A2 A1, A1^T C2 + C1). state: the shape [B, H, K, V].
  void (*compose)(const Stream&, View<T, 1> out, View<const T, 1> earlier, View<const T, 1> later,
                  std::array<int64_t, 4> state);
  void (*compose_backward)(const Stream&, View<T, 1> out, View<const T, 1> earlier, View<const T, 1> later,
                           std::array<int64_t, 4> state);
};

template <class T>
const SummaryKernels<T>& summary_ref();
OG_CPU_TABLE(SummaryKernels<float>, summary_table)
template <class T>
const SummaryKernels<T>& summary_kernels(const Stream& stream);

}  // namespace og

// How often experts were chosen, and where the row of each choice lies on its way to its expert. Integers: the same at
// any number of threads. N tokens with K choices each, encoded as moe.h says (~id: dropped); E experts; G, B, R rows of
// counts. Counts and positions are i32, borders of rows i64. A figure for the log is a one-element tensor.
#pragma once

#include "framework/kernels/moe.h"

namespace og {

struct RouteKernels {
  // counts_ge = choices of expert e by the tokens of row g, dropped or not.
  void (*count_choices)(const Stream&, View<int32_t, 2> counts, View<const int32_t, 2> experts, TokenRows rows);
  // counts_e = choices of expert e that were not dropped.
  void (*count_kept)(const Stream&, View<int32_t, 1> counts, View<const int32_t, 2> experts);
  // sums_be = sum over p and s of counts_pbse.
  void (*sum_counts)(const Stream&, View<int32_t, 2> sums, View<const int32_t, 4> counts);
  // loads_e += sum over g of counts_ge.
  void (*add_loads)(const Stream&, View<int64_t, 1> loads, View<const int32_t, 2> counts);
  // The largest load over the mean of loads, a load being the sum over g of counts_ge. 1 if there are none.
  void (*max_over_mean)(const Stream&, View<double, 1> figure, View<const int32_t, 2> counts);
  // Marks as dropped every choice that finds `capacity` choices of the same expert and row before it, in the order of
  // tokens; none is marked on entry. taken_re: the choices before these tokens, which grow by all of these, dropped or
  // not. dropped: how many were marked.
  void (*drop)(const Stream&, View<int32_t, 2> experts, View<int64_t, 1> dropped, View<int32_t, 2> taken,
               TokenRows rows, int64_t capacity);
  // begin_0 = 0, begin_e+1 = begin_e + sum over p of counts_pe; begin [E + 1].
  void (*borders)(const Stream&, View<int64_t, 1> begin, View<const int32_t, 2> counts);
  // The rows that leave: by expert, then token. slots_nk: the row of a choice, -1 if it was dropped. token_m: the token
  // of row m, -1 after the last row. next_e: the first row of expert e, and on return the row after its last.
  void (*place)(const Stream&, View<int32_t, 2> slots, View<int32_t, 1> token, View<int64_t, 1> next,
                View<const int32_t, 2> experts);
  // The rows that arrive lie by source p, then expert e, counts_pe of each; wanted are they by expert, then source.
  // arrival_r: where row r of the wanted order arrives; departure is the inverse.
  void (*arrive)(const Stream&, View<int32_t, 1> arrival, View<int32_t, 1> departure, View<const int32_t, 2> counts);
};

const RouteKernels& route_ref();
const RouteKernels& route_kernels(const Stream& stream);

}  // namespace og

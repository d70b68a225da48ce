// Counts of the experts that tokens chose, off the tape: what balance losses, capacities and the log come from. N
// tokens with K choices each (kernels/moe.h), E experts. Counts are i32.
#pragma once

#include "framework/core/context.h"
#include "framework/kernels/route.h"

namespace og {

// The choices by row of tokens and expert, dropped or not: [num_rows, E].
Tensor count_choices(Context& cx, const Tensor& experts_NK, TokenRows rows, int64_t num_rows, int64_t num_experts);

// Sums over the outermost and the third dim: [B, E].
Tensor sum_counts(Context& cx, const Tensor& counts_PBSE);

// Row r of `to` grows by row r / S of `more`, where `to` has S times as many rows: in zigzag order two rows in memory
// are one of the batch.
void add_counts(const Stream& stream, const Tensor& to_RE, const Tensor& more_BE);

// Loads, i64, grow by the counts of all rows.
void add_loads(const Stream& stream, const Tensor& loads_E, const Tensor& counts_GE);

// [1] f64: the largest load over the mean of loads; 1 if there are none. A load is the sum of an expert's counts.
Tensor max_over_mean(Context& cx, const Tensor& counts_GE);

// Marks as dropped (~id) every choice that finds `capacity` choices of the same expert and row before it, in the order
// of tokens. taken_RE: the choices before these tokens; grows by them. Returns how many were dropped, [1] i64.
Tensor drop_over_capacity(Context& cx, const Tensor& experts_NK, TokenRows rows, const Tensor& taken_RE,
                          int64_t capacity);

}  // namespace og

// Mixture of experts: scores of a router, the choice of experts, and moving rows of tokens.
// N tokens of width D, E experts, K of them for each token; M rows, one for each (token, expert) that is computed.
//
// experts [N, K]: the chosen experts of a token, lowest id first. A choice that a capacity limit dropped is stored as
// ~id (negative): it keeps its part in the normalisation of weights and has no row.
// slots [N, K]: the row of [M, D] that belongs to a choice, or -1 for none. A row belongs to one choice, or to none.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

enum class Scoring : unsigned char { softmax, sigmoid };

inline int32_t expert_id(int32_t choice) { return choice < 0 ? ~choice : choice; }

// Consecutive tokens that share a row of counts or of coefficients: token n belongs to row (first + n) / per_row.
struct TokenRows {
  int64_t first = 0;
  int64_t per_row = 1;
  int64_t operator()(int64_t token) const { return (first + token) / per_row; }
};

template <class T>
struct MoeKernels {
  // lse_n = log sum_e exp(l_ne). s_ne: softmax exp(l_ne - lse_n), sigmoid 1 / (1 + exp(-l_ne)).
  void (*score_forward)(const Stream&, View<T, 2> scores, View<T, 1> lse, View<const T, 2> logits, Scoring);
  // dl from ds (null: none) and dlse (null: none). softmax: s (ds - sum_e s ds), sigmoid: ds s (1 - s); the part of
  // lse: dlse_n exp(l_ne - lse_n).
  void (*score_backward)(const Stream&, View<T, 2> dlogits, Put put, View<const T, 2> dscores, View<const T, 1> dlse,
                         View<const T, 2> scores, View<const T, 2> logits, View<const T, 1> lse, Scoring);
  // The K experts of largest s_ne + bias_e (bias null: 0), ties to the lower id; stored lowest id first. NaN is never
  // larger than anything.
  void (*choose)(const Stream&, View<int32_t, 2> experts, View<const T, 2> scores, View<const T, 1> bias);
  // w_nj = factor s_n,e(j), or factor s_n,e(j) / (sum_j s_n,e(j) + 1e-20) if normalise.
  void (*weigh_forward)(const Stream&, View<T, 2> weights, View<const T, 2> scores, View<const int32_t, 2> experts,
                        bool normalise, T factor);
  void (*weigh_backward)(const Stream&, View<T, 2> dscores, Put put, View<const T, 2> dweights, View<const T, 2> scores,
                         View<const int32_t, 2> experts, bool normalise, T factor);
  // y_m = x_index(m), zeros where index(m) is -1.
  void (*gather)(const Stream&, View<T, 2> y, View<const T, 2> x, View<const int32_t, 1> index);
  // y_n = sum_j w_nj x_slot(n,j), summed in the order of j; weights null: 1.
  void (*combine_forward)(const Stream&, View<T, 2> y, Put put, View<const T, 2> x, View<const T, 2> weights,
                          View<const int32_t, 2> slots);
  // dx_slot(n,j) = w_nj dy_n, dw_nj = <dy_n, x_slot(n,j)>, 0 where there is no row. Null dx or dweights: not wanted.
  // Rows of dx that belong to no choice are left as they are.
  void (*combine_backward)(const Stream&, View<T, 2> dx, Put put_dx, View<T, 2> dweights, Put put_dweights,
                           View<const T, 2> dy, View<const T, 2> x, View<const T, 2> weights,
                           View<const int32_t, 2> slots);
};

template <class T>
const MoeKernels<T>& moe_ref();
OG_CPU_TABLE(MoeKernels<float>, moe_table)
template <class T>
const MoeKernels<T>& moe_kernels(const Stream& stream);

}  // namespace og

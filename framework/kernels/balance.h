// What keeps the load of experts even and their router's logits small: two losses, and a bias that moves. N tokens, E
// experts, G rows of coefficients. A loss is a one-element tensor. Scores and TokenRows: moe.h.
#pragma once

#include "framework/kernels/moe.h"

namespace og {

// The balance loss a E sum_e f_e p_e of a scope of tokens (arXiv 2101.03961), with f_e the part of their choices that
// went to expert e and p_e the mean of their scores, meaned over the rows of the step.
struct BalanceScale {
  double coefficient = 0;        // a
  double choices_per_token = 1;  // K
  double row_length = 1;         // tokens of a row
  double rows_in_step = 1;
};

template <class T>
struct BalanceKernels {
  // c_ge, with which that loss is sum_n sum_e c_g(n),e p_ne: a E w f_e / T where the scope of counts_ge has T tokens
  // and w = T / row_length / rows_in_step is its weight in the mean. 0 for a scope without tokens.
  void (*coefficients)(const Stream&, View<T, 2> c, View<const int32_t, 2> counts, const BalanceScale& scale);
  // sum_n sum_e c_g(n),e p_ne; p = s for softmax, s / sum_e s for sigmoid (arXiv 2412.19437, section 2.1.2). In double,
  // over the experts of a token, then over tokens.
  void (*loss_forward)(const Stream&, View<T, 1> loss, View<const T, 2> scores, View<const T, 2> c, TokenRows rows,
                       Scoring);
  void (*loss_backward)(const Stream&, View<T, 2> dscores, Put put, View<const T, 1> dloss, View<const T, 2> scores,
                        View<const T, 2> c, TokenRows rows, Scoring);
  // c sum_n lse_n^2, in double (arXiv 2202.08906).
  void (*z_forward)(const Stream&, View<T, 1> loss, View<const T, 1> lse, double c);
  void (*z_backward)(const Stream&, View<T, 1> dlse, Put put, View<const T, 1> dloss, View<const T, 1> lse, double c);
  // bias_e += rate where load_e is below the mean of loads, -= rate where it is above (arXiv 2408.15664).
  void (*move_bias)(const Stream&, View<T, 1> bias, View<const int64_t, 1> loads, T rate);
};

template <class T>
const BalanceKernels<T>& balance_ref();
OG_CPU_TABLE(BalanceKernels<float>, balance_table)
template <class T>
const BalanceKernels<T>& balance_kernels(const Stream& stream);

}  // namespace og

// What keeps the load of experts even and their router's logits small. N tokens, E experts, G rows of counts.
#pragma once

#include "framework/kernels/balance.h"
#include "framework/ops/moe.h"

namespace og {

// [G, E]: the coefficients of the balance loss, from the choices by scope and expert. No gradient flows through counts.
Tensor balance_coefficients(Context& cx, const Tensor& counts_GE, const BalanceScale& scale, DType dtype);

// [1], this rank's part: sum of c[row of n, e] p_ne over tokens and experts, where p are the scores, for sigmoid over
// their sum.
Value balance_loss(Tape& tape, const RouterScores& router, const Tensor& c_GE, TokenRows rows);

// [1], this rank's part: c * sum of lse_n^2.
Value z_loss(Tape& tape, const Value& lse_N, double c);

// bias_e += rate * sign(mean load - load_e); loads are i64. Off the tape.
void move_bias(const Stream& stream, const Tensor& bias_E, const Tensor& loads_E, double rate);

}  // namespace og

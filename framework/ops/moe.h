// Routing of tokens to experts on the tape, on one rank: scores, choice, weights, and the moves of rows.
// parallel/layers/expert.h sends the rows to other ranks, ops/balance.h has the losses. N tokens, E experts, K of them
// for each token. Encoding of experts and slots: kernels/moe.h.
#pragma once

#include "framework/autograd/tape.h"
#include "framework/kernels/moe.h"

namespace og {

struct RouterScores {
  Value scores_NE;  // softmax or sigmoid of the logits, f32 or f64
  Value lse_N;      // log-sum-exp of the logits
  Scoring scoring = Scoring::softmax;
};
RouterScores router_scores(Tape& tape, const Value& logits_NE, Scoring scoring);

// The k experts of largest score + bias (bias absent: 0) of each token, ties to the lower id; i32 [N, k], lowest id
// first. Not differentiable.
Tensor choose_experts(Context& cx, const Tensor& scores_NE, const Tensor& bias_E, int64_t k);

// [N, K]: factor * score of each chosen expert, over their sum if normalise.
Value route_weights(Tape& tape, const RouterScores& router, const Tensor& experts_NK, bool normalise, double factor);

// Rows of tokens in another order, some of them several times: y [M, D] with y_m = x_index(m), zeros for index -1.
// slots_NK is the inverse.
Value gather_rows(Tape& tape, const Value& x_ND, const Tensor& index_M, const Tensor& slots_NK);

// y_n = sum_j w_nj x_slot(n,j), in the order of j.
Value combine_rows(Tape& tape, const Value& x_MD, const Value& weights_NK, const Tensor& slots_NK);

}  // namespace og

// The two ends of a language model, with the vocabulary cut over the tensor axis: embedding, cross-entropy, logits.
// Weights are [V / tensor, D], rank r of the tensor axis holding the r-th part; rows past vocab_size are padding and
// never predicted.
#pragma once

#include "framework/autograd/tape.h"
#include "parallel/mesh/mesh.h"

namespace og {

// tokens_BT i32 -> [B, T, D]: data and sequence varying, tensor invariant.
Value vocabulary_embedding(Tape& tape, Mesh& mesh, const Value& weight_VD, const Tensor& tokens_BT);

// This rank's part of it, partial on tensor: the sum over the tensor ranks is the embedding.
Value vocabulary_embedding_part(Tape& tape, Mesh& mesh, const Value& weight_VD, const Tensor& tokens_BT);

inline constexpr int64_t kLossBlockRows = 1024;

// Sum over this rank's tokens of -log p(target), [1]: partial over data and sequence, invariant on tensor. hidden [B,
// T, D] invariant on tensor; targets_BT i32, -1: no target. The logits exist for kLossBlockRows rows at a time only:
// while a tape records, their gradient is formed with them, for a loss gradient of 1, and scaled in backward.
// token_losses: if given, receives -log p of every token [B, T], 0 where there is no target.
Value vocabulary_loss(Tape& tape, Mesh& mesh, const Value& hidden_BTD, const Value& weight_VD, const Tensor& targets_BT,
                      int64_t vocab_size, Tensor* token_losses);

// hidden rows [N, D] -> logits [N, vocab_size], complete on every tensor rank. No gradient.
Tensor vocabulary_logits(Tape& tape, Mesh& mesh, const Value& hidden_ND, const Value& weight_VD, int64_t vocab_size);

}  // namespace og

// Decoder: a model reading a sequence piece by piece and giving the logits of the next token. Prefill and decoding are
// the same forward pass with the layers' states carried over; linear layers keep a state of fixed size, sliding windows
// their window, softmax layers all keys and values. One row. All ranks call it alike and get the same logits.
#pragma once

#include <span>
#include <vector>

#include "models/hybrid_lm.h"

namespace og {

class Decoder {
 public:
  // The mesh has one sequence rank: decoding is split over tensor and expert ranks, and repeated by data ranks.
  Decoder(Context& cx, Mesh& mesh, HybridLM& model);

  // Reads these tokens after all earlier ones; returns the logits after the last of them, [vocab_size]. At least one
  // token.
  Tensor read(std::span<const int32_t> tokens);

  int64_t tokens_read() const { return seen_; }
  int64_t state_bytes() const;  // memory of all layers' states on this rank

 private:
  Context& cx_;
  Mesh& mesh_;
  HybridLM& model_;
  std::vector<MixerState> states_;
  int64_t seen_ = 0;
};

struct SamplingOptions {
  double temperature = 1.0;  // 0: the most likely token
  int64_t top_k = 0;         // 0: all
  double top_p = 1.0;
  uint64_t seed = 1;
};

// Draws a token from logits [vocab_size]; `position` keys the random number, so that a text depends on seed and
// position alone. Ties in top_k and top_p go to the lower id.
int32_t sample_token(const Tensor& logits, const SamplingOptions& options, int64_t position);

}  // namespace og

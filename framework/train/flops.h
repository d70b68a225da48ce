// Model FLOPs: what the mathematics of one token asks for, whatever the kernels do (recompute, padding and masked
// halves are not counted). One formula, printed by `bench step` and tested:
// products: 2 x the elements of every matrix that each token is multiplied with (ParameterRole::product);
// experts: the same of the num_experts_per_tok experts that a token visits;
// mixers: states, 4 K V a head (write and read), 6 K V for delta rules (ScanShape::flops_per_token);
// attention: 4 heads x head_dim x mean context (half the row, or the window);
// training: three times the forward pass.
#pragma once

#include "framework/nn/parameter.h"
#include "models/hybrid_lm.h"

namespace og {

struct ModelFlops {
  double products = 0;  // without the head
  double experts = 0;
  double head = 0;
  double mixers = 0;
  double attention = 0;
  double forward() const { return products + experts + head + mixers + attention; }
  double training() const { return 3 * forward(); }
};

ModelFlops flops_per_token(HybridLM& model, const ParameterStore& store, int64_t sequence_length);

}  // namespace og

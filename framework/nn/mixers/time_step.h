// The decay of Mamba-2 and Gated DeltaNet: dt = softplus(W x + dt_bias), log a = -exp(A_log) dt, one a head and token.
// A starts uniform in [low, high], dt log-uniform in [1e-3, 0.1] with floor 1e-4 (arXiv 2405.21060); neither decays.
#pragma once

#include "framework/nn/parts/linear.h"

namespace og {

class TimeStep {
 public:
  TimeStep() = default;
  TimeStep(const LayerContext& context, int64_t num_heads, double lowest_a, double highest_a);

  struct Gates {
    Value dt;  // [B, T, H / tensor]
    Value g;   // log a, <= 0
  };
  Gates operator()(StepContext& step, const Value& x) const;

 private:
  ColumnLinear raw_;
  Parameter *bias_ = nullptr, *log_a_ = nullptr;
};

}  // namespace og

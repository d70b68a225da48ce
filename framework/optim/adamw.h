// AdamW over all parameters of a store. Moments live beside the parameters, in the same type and cut the same way.
#pragma once

#include <deque>

#include "framework/nn/parameter.h"

namespace og {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
};

class AdamW {
 public:
  AdamW(ParameterStore& store, AdamWOptions options);

  // One update from the gradients in the slots, which must be complete; then the slots are cleared.
  void step(double learning_rate, double gradient_scale);

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  struct Moments {
    Parameter* parameter;
    Tensor first, second;
  };
  std::deque<Moments>& moments() { return moments_; }

 private:
  Context& cx_;
  AdamWOptions options_;
  int64_t steps_ = 0;
  std::deque<Moments> moments_;
};

}  // namespace og

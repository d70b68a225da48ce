// StepSums: what is logged of a step, summed where it is computed. A tensor has a place for each figure; layers, micro
// steps and the reducer of gradients add to theirs by kernels, in the order in which they run. The step sums the tensor
// over the world once, and the host reads it once. Copies share the tensor.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "framework/core/context.h"

namespace og {

enum class StepSum : uint8_t {
  // This rank's part, to be summed over the world:
  loss,            // sum over its targets, nats
  aux_loss,        // coefficients applied
  z_loss,          // coefficients applied
  tokens_dropped,  // choices
  expert_load,     // max over mean, one each time that a layer routes
  expert_layers,   // how often layers route
  square_norm,     // the gradient's
  stop,            // 1: this rank wishes to stop
  mean_loss,       // nats a target of the step
  // Known after that sum:
  grad_norm,
  gradient_scale
};
inline constexpr int64_t kNumStepSums = static_cast<int64_t>(StepSum::gradient_scale) + 1;

class StepSums {
 public:
  StepSums() = default;  // nothing is logged: add does nothing
  // Zeros, and `more` of them behind the places of StepSum.
  explicit StepSums(const Context& cx, int64_t more = 0)
      : all_(cx.zeros({kNumStepSums + more}, DType::f64)), logged_(~0U) {}
  // The same tensor; what is added to other places is not logged.
  StepSums only(std::initializer_list<StepSum> places) const;

  // The place grows by factor x, of one element and any type; or by a number that the host knows.
  void add(const Context& cx, StepSum place, const Tensor& x, double factor = 1) const;
  void add(const Context& cx, StepSum place, double x) const;

  const Tensor& all() const { return all_; }  // f64
  Tensor at(StepSum place) const { return at(static_cast<int64_t>(place)); }
  Tensor at(int64_t i) const { return all_.slice(i, i + 1); }  // [1]

 private:
  static unsigned bit(StepSum place) { return 1U << static_cast<unsigned>(place); }
  Tensor all_;
  unsigned logged_ = 0;
};

}  // namespace og

#include "framework/nn/mixers/time_step.h"

#include <algorithm>
#include <cmath>

#include "framework/core/rng.h"
#include "framework/ops/pointwise.h"

namespace og {

TimeStep::TimeStep(const LayerContext& context, int64_t num_heads, double lowest_a, double highest_a)
    : raw_(context, "dt_proj", num_heads) {
  const Init bias = Init::custom([](uint64_t key, int64_t i) {
    const double low = std::log(1e-3), high = std::log(0.1);
    const double dt = std::max(1e-4, std::exp(low + (high - low) * random_uniform(key, static_cast<uint64_t>(i))));
    return dt + std::log(-std::expm1(-dt));  // the inverse of softplus
  });
  const Init log_a = Init::custom([lowest_a, highest_a](uint64_t key, int64_t i) {
    const double a = lowest_a + (highest_a - lowest_a) * random_uniform(key, static_cast<uint64_t>(i));
    return std::log(std::max(a, 1e-4));
  });
  bias_ = &context.add("dt_bias", {num_heads}, bias, Shard::tensor, 0, false);
  log_a_ = &context.add("A_log", {num_heads}, log_a, Shard::tensor, 0, false);
}

TimeStep::Gates TimeStep::operator()(StepContext& step, const Value& x) const {
  Tape& tape = step.tape;
  const Value dt = apply(tape, Unary::softplus, add_bias(tape, raw_(step, x), bias_->value));
  return {dt, multiply_last(tape, dt, apply(tape, Unary::neg_exp, log_a_->value))};
}

}  // namespace og

#include "framework/nn/parts/linear.h"

#include "framework/ops/linear.h"
#include "framework/ops/pointwise.h"

namespace og {

ColumnLinear::ColumnLinear(const LayerContext& context, const std::string& name, int64_t width, bool bias) {
  weight_ = &context.add_product(name + ".weight", {width, context.hidden_size}, 0);
  if (bias) bias_ = &context.add(name + ".bias", {width}, Init::zeros(), Shard::tensor, 0, false);
}

Value ColumnLinear::operator()(StepContext& step, const Value& x) const {
  Value y = linear(step.tape, x, weight_->value);
  return bias_ ? add_bias(step.tape, y, bias_->value) : y;
}

RowLinear::RowLinear(const LayerContext& context, const std::string& name, int64_t width) {
  weight_ = &context.add_product(name + ".weight", {context.hidden_size, width}, 1);
}

Value RowLinear::operator()(StepContext& step, const Value& y) const {
  return leave_tensor(step, linear_split(step.tape, y, weight_->value, Axis::tensor));
}

LowRankLinear::LowRankLinear(const LayerContext& context, const std::string& name, int64_t rank, int64_t width) {
  down_ = &context.store.add({.name = context.prefix + "." + name + ".down.weight",
                              .global_shape = {rank, context.hidden_size},
                              .init = Init::normal(context.initializer_range),
                              .role = ParameterRole::product,
                              .varies_over_tensor = true});
  up_ = &context.add_product(name + ".up.weight", {width, rank}, 0);
  bias_ = &context.add(name + ".up.bias", {width}, Init::zeros(), Shard::tensor, 0, false);
}

Value LowRankLinear::operator()(StepContext& step, const Value& x) const {
  const Value low = linear(step.tape, x, down_->value);
  return add_bias(step.tape, linear(step.tape, low, up_->value), bias_->value);
}

}  // namespace og

#include "framework/nn/parts/conv.h"

#include <cmath>

#include "parallel/sequence/short_conv.h"

namespace og {

ShortConv::ShortConv(const LayerContext& context, const std::string& name, int64_t channels, int64_t width, bool bias,
                     ConvActivation activation, bool whole_on_every_tensor_rank)
    : name_(name), activation_(activation) {
  // Uniform in +-1/sqrt(width), the usual start of a depthwise convolution with `width` inputs.
  const double bound = 1.0 / std::sqrt(static_cast<double>(width));
  const Shard shard = whole_on_every_tensor_rank ? Shard::none : Shard::tensor;
  const auto create = [&](const std::string& suffix, const Shape& shape, Init init, bool decay) {
    return &context.store.add({.name = context.prefix + "." + name + suffix,
                               .global_shape = shape,
                               .shard = shard,
                               .init = std::move(init),
                               .decay = decay,
                               .varies_over_tensor = whole_on_every_tensor_rank});
  };
  weight_ = create(".weight", {channels, width}, Init::uniform(-bound, bound), true);
  if (bias) bias_ = create(".bias", {channels}, Init::zeros(), false);
}

Value ShortConv::operator()(StepContext& step, const Value& x, MixerState* state) const {
  return sequence_short_conv(step.tape, x, weight_->value, bias_ ? bias_->value : Value(), activation_, step.seq, state,
                             name_);
}

}  // namespace og

// The short convolution of a stream that is cut over the tensor axis.
#pragma once

#include <string>

#include "framework/nn/layer.h"
#include "framework/ops/conv.h"

namespace og {

// Depthwise causal convolution of a cut stream, with its tail as state `name`.
class ShortConv {
 public:
  ShortConv() = default;
  ShortConv(const LayerContext& context, const std::string& name, int64_t channels, int64_t width, bool bias,
            ConvActivation activation, bool whole_on_every_tensor_rank = false);
  Value operator()(StepContext& step, const Value& x, MixerState* state) const;

 private:
  std::string name_;
  Parameter *weight_ = nullptr, *bias_ = nullptr;
  ConvActivation activation_ = ConvActivation::identity;
};

}  // namespace og

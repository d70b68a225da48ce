// Gated MLP (SwiGLU, arXiv 2002.05202): down(silu(gate x) * up x). The intermediate width is cut over tensor: gate and
// up by rows, down by columns, one sum at the end.
#pragma once

#include "framework/nn/layer.h"
#include "framework/nn/registry.h"

namespace og {

class Mlp final : public ChannelPart {
 public:
  // Parameters "<prefix>.gate_proj.weight" and ".up_proj.weight" [F, hidden], ".down_proj.weight" [hidden, F].
  Mlp(const LayerContext& context, int64_t intermediate_size);
  Value forward(StepContext& step, const Value& x_BTD, SideOutputs& side) override;

 private:
  Parameter *gate_, *up_, *down_;
};

ChannelType mlp_type();

}  // namespace og

// What linear mixers have in common behind their recurrence: an output norm, an output gate and the projection back.
#pragma once

#include <string>

#include "framework/nn/parts/linear.h"

namespace og {

// Output norms. per_head: RMS over each head's V, one weight [V]. merged: RMS over all heads of all tensor ranks,
// weight [H V].
enum class OutputNorm : uint8_t { none, per_head, merged };
// Output gates: o * silu(W x) or o * sigmoid(W x).
enum class OutputGate : uint8_t { none, silu, sigmoid };

class MixerOutput {
 public:
  MixerOutput() = default;
  MixerOutput(const LayerContext& context, int64_t num_heads, int64_t head_v_dim, OutputNorm norm, OutputGate gate,
              double eps);
  // o [B, T, H / tensor, V], x the entered input. Returns hidden states.
  Value operator()(StepContext& step, const Value& o, const Value& x) const;

 private:
  OutputNorm norm_ = OutputNorm::none;
  OutputGate gate_type_ = OutputGate::none;
  double eps_ = 1e-5;
  int64_t global_width_ = 0;
  Parameter* norm_weight_ = nullptr;
  ColumnLinear gate_;
  RowLinear out_;
};

// RMS norm over a width [.., W / tensor] that is cut over tensor; weight [W] cut likewise; global_width = W.
Value rms_norm_over_tensor(StepContext& step, const Value& x, const Value& weight, int64_t global_width, double eps);

}  // namespace og

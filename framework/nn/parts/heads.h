// q, k and v in heads, which are cut over the tensor axis.
#pragma once

#include <functional>
#include <vector>

#include "framework/nn/options.h"
#include "framework/nn/parts/conv.h"
#include "framework/nn/parts/linear.h"
#include "framework/ops/pointwise.h"

namespace og {

// [B, T, H D] -> [B, T, H, D] for this rank's heads.
Value to_heads(StepContext& step, const Value& x, int64_t head_dim);
Value from_heads(StepContext& step, const Value& x);

// f(head) for each of this rank's heads, by their global numbers.
std::vector<double> per_local_head(const LayerContext& context, int64_t num_heads,
                                   const std::function<double(int64_t)>& f);

// q, k and v of a linear mixer in heads, with optional short convolutions (then silu comes with them).
struct Heads {
  Value q, k, v;  // [B, T, H / tensor, K or V]
};

class QkvProjection {
 public:
  QkvProjection() = default;
  // Without convolutions `activation` is applied to q, k and v; with them silu is.
  QkvProjection(const LayerContext& context, const Options& options, bool short_conv, Unary activation);
  Heads operator()(StepContext& step, const Value& x, MixerState* state) const;

 private:
  int64_t head_k_dim_ = 0, head_v_dim_ = 0;
  bool convolves_ = false;
  Unary activation_ = Unary::identity;
  ColumnLinear q_, k_, v_;
  ShortConv q_conv_, k_conv_, v_conv_;
};

}  // namespace og

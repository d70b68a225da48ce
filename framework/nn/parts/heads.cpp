#include "framework/nn/parts/heads.h"

#include "framework/ops/shape.h"

namespace og {

Value to_heads(StepContext& step, const Value& x, int64_t head_dim) {
  return reshape(step.tape, x, {x.size(0), x.size(1), x.size(2) / head_dim, head_dim});
}

Value from_heads(StepContext& step, const Value& x) {
  return reshape(step.tape, x, {x.size(0), x.size(1), x.size(2) * x.size(3)});
}

std::vector<double> per_local_head(const LayerContext& context, int64_t num_heads,
                                   const std::function<double(int64_t)>& f) {
  Comm& tensor = context.store.mesh().tensor();
  const int64_t local = num_heads / tensor.size();
  std::vector<double> values;
  for (int64_t h = 0; h < local; ++h) values.push_back(f(tensor.rank() * local + h));
  return values;
}

QkvProjection::QkvProjection(const LayerContext& context, const Options& options, bool short_conv, Unary activation)
    : head_k_dim_(options.integer("head_k_dim")),
      head_v_dim_(options.integer("head_v_dim")),
      convolves_(short_conv),
      activation_(activation) {
  const int64_t k_width = options.integer("num_heads") * head_k_dim_;
  const int64_t v_width = options.integer("num_heads") * head_v_dim_;
  q_ = ColumnLinear(context, "q_proj", k_width);
  k_ = ColumnLinear(context, "k_proj", k_width);
  v_ = ColumnLinear(context, "v_proj", v_width);
  if (!short_conv) return;
  constexpr int64_t kConvWidth = 4;
  q_conv_ = ShortConv(context, "q_conv1d", k_width, kConvWidth, false, ConvActivation::silu);
  k_conv_ = ShortConv(context, "k_conv1d", k_width, kConvWidth, false, ConvActivation::silu);
  v_conv_ = ShortConv(context, "v_conv1d", v_width, kConvWidth, false, ConvActivation::silu);
}

Heads QkvProjection::operator()(StepContext& step, const Value& x, MixerState* state) const {
  const auto stream = [&](const ColumnLinear& projection, const ShortConv& conv, int64_t head_dim) {
    Value y = projection(step, x);
    if (convolves_) {
      y = conv(step, y, state);
    } else if (activation_ != Unary::identity) {
      y = apply(step.tape, activation_, y);
    }
    return to_heads(step, y, head_dim);
  };
  return {stream(q_, q_conv_, head_k_dim_), stream(k_, k_conv_, head_k_dim_), stream(v_, v_conv_, head_v_dim_)};
}

}  // namespace og

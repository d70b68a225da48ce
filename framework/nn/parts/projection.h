// What linear mixers have in common around their recurrence: projections into heads, short convolutions, an output
// norm, an output gate and the projection back. Heads are cut over the tensor axis: column-parallel in, row-parallel
// out.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "framework/nn/layer.h"
#include "framework/nn/options.h"
#include "framework/nn/tensor_region.h"
#include "framework/ops/conv.h"
#include "framework/ops/pointwise.h"

namespace og {

// x W^T with the rows of W [width, hidden] cut over tensor.
class ColumnLinear {
 public:
  ColumnLinear() = default;
  ColumnLinear(const LayerContext& context, const std::string& name, int64_t width, bool bias = false);
  // x [B, T, hidden] entered; returns [B, T, width / tensor].
  Value operator()(StepContext& step, const Value& x) const;

 private:
  Parameter* weight_ = nullptr;
  Parameter* bias_ = nullptr;
};

// y W^T with the columns of W [hidden, width] cut over tensor, summed over tensor as hidden states are
// (tensor_region.h).
class RowLinear {
 public:
  RowLinear() = default;
  RowLinear(const LayerContext& context, const std::string& name, int64_t width);
  Value operator()(StepContext& step, const Value& y) const;

 private:
  Parameter* weight_ = nullptr;
};

// x -> W2 (W1 x) + b: W1 [rank, hidden] is whole on every tensor rank, W2 [width, rank] cut by rows.
class LowRankLinear {
 public:
  LowRankLinear() = default;
  LowRankLinear(const LayerContext& context, const std::string& name, int64_t rank, int64_t width);
  Value operator()(StepContext& step, const Value& x) const;

 private:
  Parameter *down_ = nullptr, *up_ = nullptr, *bias_ = nullptr;
};

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

// [B, T, H D] -> [B, T, H, D] for this rank's heads.
Value to_heads(StepContext& step, const Value& x, int64_t head_dim);
Value from_heads(StepContext& step, const Value& x);

// f(head) for each of this rank's heads, by their global numbers.
std::vector<double> per_local_head(const LayerContext& context, int64_t num_heads,
                                   const std::function<double(int64_t)>& f);

// Option tables that mixers share.
std::vector<OptionSpec> head_options(int64_t num_heads, int64_t head_k_dim, int64_t head_v_dim);
OptionSpec norm_option(const char* fallback);
OptionSpec gate_option(const char* fallback);
OptionSpec conv_option(bool fallback);
OptionSpec gate_divisor_option();
OutputNorm norm_of(const Options& options);
OutputGate gate_of(const Options& options);
// "" or the message that num_heads is not a multiple of the tensor degree.
std::string heads_problem(const Options& options, int64_t hidden_size, int tensor_degree);

}  // namespace og

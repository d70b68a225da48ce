// Products of a layer whose width is cut over the tensor axis: column-parallel in, row-parallel out.
#pragma once

#include <string>

#include "framework/nn/layer.h"
#include "framework/nn/tensor_region.h"

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

}  // namespace og

// Short causal convolution of each channel with its own weights ("depthwise"), W taps, over B rows of T tokens:
//   z_t = bias + sum_{i < W} w_i x_{t-W+1+i},   y_t = activation(z_t)
// x_s with s < 0 is row W - 1 + s of `left`, the W - 1 rows before this piece; x_s of another document, s < start_t, is
// 0.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

enum class ConvActivation : uint8_t { identity, silu };

template <class T>
struct ConvInputs {
  View<const T, 3> x;            // [B, T, C]
  View<const T, 3> left;         // [B, W - 1, C]
  View<const T, 2> weight;       // [C, W], tap W - 1 is the token itself
  View<const T, 1> bias;         // [C]; null: none
  View<const int32_t, 2> start;  // [B, T], relative to token 0 of the piece
  ConvActivation activation = ConvActivation::identity;
};

template <class T>
struct ConvGradients {  // null: not wanted
  View<T, 3> dx;
  Put put_dx = Put::write;
  View<T, 3> dleft;
  Put put_dleft = Put::write;
  View<T, 2> dweight;
  Put put_dweight = Put::write;
  View<T, 1> dbias;
  Put put_dbias = Put::write;
};

template <class T>
struct ConvKernels {
  void (*forward)(const Stream&, View<T, 3> y, const ConvInputs<T>&);
  // z is computed again: dz_t = dy_t activation'(z_t), dx_s = sum_i w_i dz_{s+W-1-i}, dw_i = sum_t dz_t x_{t-W+1+i}.
  void (*backward)(const Stream&, const ConvGradients<T>&, View<const T, 3> dy, const ConvInputs<T>&);
};

template <class T>
const ConvKernels<T>& conv_ref();
OG_CPU_TABLE(ConvKernels<float>, conv_table)
template <class T>
const ConvKernels<T>& conv_kernels(const Stream& stream);

}  // namespace og

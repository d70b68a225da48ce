// Short causal convolution on the tape, on this rank's piece. Over a split sequence: parallel/sequence/short_conv.h.
#pragma once

#include "framework/autograd/tape.h"
#include "framework/kernels/conv.h"

namespace og {

// x [B,T,C], left [B,W-1,C] (the rows before the piece; what lies in another document is not read), weight [C,W] (the
// last tap is the token itself), bias [C] or absent, start_BT i32 as in SeqContext -> [B,T,C], after the activation.
Value short_conv(Tape& tape, const Value& x_BTC, const Value& left_BWC, const Value& weight_CW, const Value& bias_C,
                 const Tensor& start_BT, ConvActivation activation);

}  // namespace og

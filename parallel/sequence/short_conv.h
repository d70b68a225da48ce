// Short causal convolution over a split sequence: halo, convolution, state.
#pragma once

#include "framework/ops/conv.h"
#include "framework/ops/mixer_state.h"
#include "parallel/sequence/context.h"

namespace og {

// x [B,T,C], weight [C,W], bias [C] or absent -> [B,T,C]. With a state, its entry `name` [B,W-1,C] holds the inputs
// before this piece (absent: zeros) and then the last W - 1 inputs of the whole piece, on every rank.
Value sequence_short_conv(Tape& tape, const Value& x_BTC, const Value& weight_CW, const Value& bias_C,
                          ConvActivation activation, const SeqContext& seq, MixerState* state, const std::string& name);

}  // namespace og

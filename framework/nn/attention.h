// The sequence mixer `attention`: causal softmax attention with grouped key heads, rotary positions, an optional
// sliding window. Heads are cut over the tensor axis, the sequence over the sequence axis (LASP-2H, or a halo with a
// window).
#pragma once

#include "framework/nn/registry.h"

namespace og {

// Keys: num_attention_heads, num_key_value_heads (null: as many), head_dim (null: hidden / heads), rope_theta (null: no
// positions), sliding_window (null: none), qkv_bias, qk_norm (RMS norm of each head's q and k before the rotation).
MixerType attention_type();

}  // namespace og

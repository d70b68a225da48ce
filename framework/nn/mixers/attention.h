// The sequence mixer `attention`: causal softmax attention with grouped key heads, rotary positions, an optional
// sliding window. Heads are cut over the tensor axis, the sequence over the sequence axis (LASP-2H, or a halo with a
// window).
#pragma once

#include "framework/nn/registry.h"

namespace og {

// Keys: num_attention_heads, num_key_value_heads (null: as many), head_dim (null: hidden / heads), rope_theta (null: no
// positions), sliding_window (null: none), qkv_bias, qk_norm (RMS norm of each head's q and k before the rotation).
MixerType attention_type();

struct AttentionSizes {
  int64_t heads, key_heads, head_dim, window;  // window 0: none
  AttentionSizes(const Options& options, int64_t hidden_size);
  // Key heads that a tensor rank holds: with fewer heads than ranks several hold the same one.
  int64_t key_heads_of_rank(int tensor) const { return key_heads > tensor ? key_heads / tensor : 1; }
};

}  // namespace og

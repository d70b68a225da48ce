// Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011). A value depends only on a key (seed and name)
// and a 64-bit index, so any rank computes the numbers of any global element, in any order. Thread safe: no state.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace og {

using RandomKey = uint64_t;

// Key of a stream of numbers: random_key(seed, "model.layers.0.mixer.q_proj.weight").
RandomKey random_key(uint64_t seed, std::string_view name);

std::array<uint32_t, 4> philox(RandomKey key, uint64_t index);
double random_uniform(RandomKey key, uint64_t index);                  // [0, 1), 53 bits
double random_normal(RandomKey key, uint64_t index);                   // mean 0, variance 1
uint64_t random_below(RandomKey key, uint64_t index, uint64_t bound);  // 0 .. bound-1, bound > 0

}  // namespace og

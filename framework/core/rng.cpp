#include "framework/core/rng.h"

#include <cmath>
#include <numbers>

namespace og {

namespace {

// Finaliser of SplitMix64 (Steele et al., OOPSLA 2014): every bit of the input reaches every bit of the output.
uint64_t mix(uint64_t z) {
  z += 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

double to_unit(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 32 | low) >> 11;
  return static_cast<double>(bits) * 0x1.0p-53;
}

}  // namespace

RandomKey random_key(uint64_t seed, std::string_view name) {
  uint64_t h = mix(seed);
  for (char c : name) h = mix(h ^ static_cast<unsigned char>(c));
  return h;
}

std::array<uint32_t, 4> philox(RandomKey key, uint64_t index) {
  std::array<uint32_t, 4> c{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0};
  auto k0 = static_cast<uint32_t>(key);
  auto k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

double random_uniform(RandomKey key, uint64_t index) {
  const auto r = philox(key, index);
  return to_unit(r[0], r[1]);
}

double random_normal(RandomKey key, uint64_t index) {
  const auto r = philox(key, index);
  const double u = 1.0 - to_unit(r[0], r[1]);  // (0, 1]
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * to_unit(r[2], r[3]));
}

uint64_t random_below(RandomKey key, uint64_t index, uint64_t bound) {
  const auto r = philox(key, index);
  const uint64_t bits = static_cast<uint64_t>(r[0]) << 32 | r[1];
  return static_cast<uint64_t>((static_cast<unsigned __int128>(bits) * bound) >> 64);
}

}  // namespace og

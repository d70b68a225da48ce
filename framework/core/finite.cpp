#include "framework/core/finite.h"

#include <algorithm>
#include <cstring>

namespace og {

namespace {

// A number is finite if its exponent is not all ones, which the largest of the bit patterns without sign tells. No exit
// within a block: that lets the compiler take many at a time.
template <class Bits>
int64_t first_in(std::span<const std::byte> bytes, Bits infinity) {
  constexpr size_t kBlock = 1024;
  constexpr Bits kNoSign = static_cast<Bits>(~Bits{0}) >> 1;
  const size_t count = bytes.size() / sizeof(Bits);
  const auto bits = [&](size_t i) {
    Bits b;
    std::memcpy(&b, bytes.data() + i * sizeof(Bits), sizeof b);
    return static_cast<Bits>(b & kNoSign);
  };
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = std::min(count, begin + kBlock);
    Bits most = 0;
    for (size_t i = begin; i < end; ++i) most = std::max(most, bits(i));
    if (most < infinity) continue;
    for (size_t i = begin; i < end; ++i)
      if (bits(i) >= infinity) return static_cast<int64_t>(i);
  }
  return -1;
}

}  // namespace

int64_t first_not_finite(DType dtype, std::span<const std::byte> bytes) {
  if (dtype == DType::f32) return first_in<uint32_t>(bytes, 0x7f800000u);
  if (dtype == DType::f64) return first_in<uint64_t>(bytes, 0x7ff0000000000000u);
  return -1;
}

}  // namespace og

#include "framework/kernels/bf16.h"

#include <bit>

namespace og {

namespace {

void round(const Stream&, uint16_t* to, const float* from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = round_bf16(std::bit_cast<uint32_t>(from[i]));
}

}  // namespace

const Bf16Kernels& bf16_ref() {
  static constexpr Bf16Kernels table{.round = round};
  return table;
}

}  // namespace og

// Rounding of floats to bf16, to nearest even, as the processor's own conversion does; NaN stays NaN.
#pragma once

#include <cstdint>

#include "framework/kernels/dispatch.h"

namespace og {

struct Bf16Kernels {
  void (*round)(const Stream&, uint16_t* to, const float* from, int64_t count);
};

const Bf16Kernels& bf16_ref();
OG_CPU_TABLE(Bf16Kernels, bf16_table)
const Bf16Kernels& bf16_kernels(const Stream& stream);

// One element: what every implementation computes. Free of branches, so that loops over it vectorise.
inline uint16_t round_bf16(uint32_t bits) {
  const uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40U;
  return static_cast<uint16_t>((bits & 0x7FFFFFFFU) > 0x7F800000U ? quiet : rounded);
}

}  // namespace og

// Rounding to bf16: 4 bytes read and 2 written an element, bound by memory.
#include "framework/kernels/bf16.h"

#include <cstring>

namespace og::OG_ISA {

namespace {

void round(const Stream& stream, uint16_t* to, const float* from, int64_t count) {
  stream.parallel_for(count, 1 << 15, [&](int64_t begin, int64_t end) {
    constexpr int64_t kBlock = 1024;
    alignas(64) uint32_t bits[kBlock];
    for (int64_t b = begin; b < end; b += kBlock) {
      const int64_t n = end - b < kBlock ? end - b : kBlock;
      std::memcpy(bits, from + b, static_cast<size_t>(n) * 4);
      uint16_t* __restrict out = to + b;
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) out[i] = round_bf16(bits[i]);
    }
  });
}

}  // namespace

const Bf16Kernels& bf16_table() {
  static constexpr Bf16Kernels table{.round = round};
  return table;
}

}  // namespace og::OG_ISA

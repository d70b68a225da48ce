#include "framework/kernels/bf16.h"

namespace og {

const Bf16Kernels& bf16_kernels(const Stream& stream) {
  return choose(stream, bf16_ref(), avx2::bf16_table, avx512::bf16_table);
}

}  // namespace og

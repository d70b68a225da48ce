// What this machine can do, measured now: the limits that benchmarks are compared with.
#pragma once

#include "framework/core/context.h"

namespace og {

// FLOP/s of one square product of this extent with the stream's threads and products (f32 or bf16), best of `repeats`.
double measure_gemm(const Stream& stream, int64_t extent, int repeats);
// Bytes/s of y = a + b over arrays of this many f32 elements (two read, one written), best of `repeats`.
double measure_memory(const Stream& stream, int64_t elements, int repeats);

}  // namespace og

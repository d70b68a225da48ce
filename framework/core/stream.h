// Stream: how and where kernels run. Kernels take it first and know nothing else about the program. One per rank; not
// shared between threads.
#pragma once

#include "framework/core/threads.h"

namespace og {

// Which implementation of a kernel may be taken. `cpu` falls back to `ref` where it has none; `ref` never leaves ref;
// `cuda` is refused until something is built for it.
enum class Backend : unsigned char { ref, cpu, cuda };

// How products of matrices are computed: f32 as they are, or with inputs rounded to bf16 and sums in f32. none: not at
// all, for probes that count memory and messages, whose matrices are zeros that nobody touches: nt and nn give zeros,
// tn (the gradient of a weight) leaves its result as it was.
enum class Products : unsigned char { exact, bf16, none };

// Multiply-adds that are worth another thread: some microseconds, about what it takes to wake one and to wait for it.
// parallel_for's `least` follows from it, so that the small kernels of decoding run on the thread that calls them.
inline constexpr int64_t kProductsOfAThread = 1 << 16;

struct Stream {
  Backend backend = Backend::cpu;
  Products products = Products::exact;
  int num_threads = 1;

  template <class Body>
  void parallel_for(int64_t n, int64_t least, Body&& body) const {
    og::parallel_for(num_threads, n, least, body);
  }
};

}  // namespace og

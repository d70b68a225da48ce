// Which implementation of a kernel family runs. The float kernels of kernels/cpu are compiled once per instruction set,
// each into a namespace of that name; the best one that this processor has is taken, at run time.
#pragma once

#include "framework/core/stream.h"

namespace og {

enum class Isa : unsigned char { base, avx2, avx512 };
// What this processor has, or less if the environment variable ONEGATHER_ISA (base, avx2, avx512) says so.
Isa best_isa();
const char* name_of(Isa isa);

// Declares x_table() in the namespaces avx2 and avx512: OG_CPU_TABLE(NormKernels<float>, norm_table);
#define OG_CPU_TABLE(Kernels, table) \
  namespace avx2 {                   \
  const Kernels& table();            \
  }                                  \
  namespace avx512 {                 \
  const Kernels& table();            \
  }

// Refuses Backend::cuda (status 2): no kernel is built for it, and none of another back end may run in its place.
void check_built(Backend backend);

// A family's table for a stream, as framework/kernels/<family>.cpp picks it: ref, or what kernels/cpu has for this
// processor.
template <class Kernels>
const Kernels& choose(const Stream& stream, const Kernels& ref, const Kernels& (*avx2)(), const Kernels& (*avx512)()) {
  check_built(stream.backend);
  const Isa isa = stream.backend == Backend::ref ? Isa::base : best_isa();
  return isa == Isa::avx512 ? avx512() : isa == Isa::avx2 ? avx2() : ref;
}
// Where there is only ref: all families in double.
template <class Kernels>
const Kernels& choose(const Stream& stream, const Kernels& ref) {
  check_built(stream.backend);
  return ref;
}

}  // namespace og

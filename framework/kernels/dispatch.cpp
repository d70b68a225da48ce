#include "framework/kernels/dispatch.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "framework/core/error.h"

namespace og {

namespace {

Isa detect() {
  Isa isa = Isa::base;
#if defined(__x86_64__)
  // x86-64-v3 and v4 as compiled for in CMakeLists.txt.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
    isa = Isa::avx2;
  if (isa == Isa::avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    isa = Isa::avx512;
#endif
  if (const char* most = std::getenv("ONEGATHER_ISA")) {
    for (Isa i : {Isa::base, Isa::avx2, Isa::avx512})
      if (std::strcmp(most, name_of(i)) == 0) isa = std::min(isa, i);
  }
  return isa;
}

}  // namespace

Isa best_isa() {
  static const Isa isa = detect();
  return isa;
}

const char* name_of(Isa isa) { return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "base"; }

void check_built(Backend backend) {
  if (backend == Backend::cuda)
    fail(Status::usage, "kernels: back end cuda: this program was built without CUDA; there are ref and cpu");
}

}  // namespace og

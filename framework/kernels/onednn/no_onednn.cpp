// A build without oneDNN (ThreadSanitizer builds): products by plain loops, and it says so.
#include "framework/kernels/matmul.h"

namespace og {

void matmul_library(const Stream&, Transpose transpose, View<float, 2> c, Put put, View<const float, 2> a,
                    View<const float, 2> b) {
  matmul_ref(transpose, c, put, a, b);
}

const char* matmul_library_name() { return "none (built without oneDNN)"; }

bool bf16_is_native() { return false; }

}  // namespace og

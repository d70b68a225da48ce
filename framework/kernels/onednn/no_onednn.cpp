// A build without oneDNN (ThreadSanitizer builds): products by plain loops, and it says so.
#include "framework/kernels/matmul.h"

namespace og {

const MatmulKernels<float>& matmul_library() { return matmul_ref<float>(); }

const char* matmul_library_name() { return "none (built without oneDNN)"; }

bool bf16_is_native() { return false; }

}  // namespace og

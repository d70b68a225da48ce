// Context: what one rank computes with: a stream, a pool of memory, a profile. Passed down by reference; there is no
// global one, so that ranks can be threads of one process.
#pragma once

#include <memory>

#include "framework/core/pool.h"
#include "framework/core/profile.h"
#include "framework/core/stream.h"
#include "framework/core/tensor.h"

namespace og {

struct Context {
  Stream stream;
  std::shared_ptr<Pool> pool = Pool::create();
  Profile profile;
  int64_t host_reads = 0;  // how often the host has read what kernels computed (host_read.h)

  Tensor empty(const Shape& shape, DType dtype) const { return Tensor::empty(*pool, shape, dtype); }
  Tensor zeros(const Shape& shape, DType dtype) const { return Tensor::zeros(*pool, shape, dtype); }
};

}  // namespace og

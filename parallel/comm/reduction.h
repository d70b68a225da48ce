// Element-wise reduction of one block of memory into another: what the transports sum with. Offsets in elements.
#pragma once

#include "parallel/comm/comm.h"

namespace og {

// to[i] = to[i] op from[i] for n elements.
void reduce_into(const Tensor& to, int64_t to_begin, const Tensor& from, int64_t from_begin, int64_t n, Reduce op);

// Offsets and size in bytes.
void copy_bytes(const Tensor& to, int64_t to_begin, const Tensor& from, int64_t from_begin, int64_t bytes);

}  // namespace og

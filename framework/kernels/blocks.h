// Blocks of rows at constant strides, copied, added or filled: what cutting, joining and exchanging tensors comes down
// to.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

template <class T>  // float, double, int32_t, int64_t
struct BlockKernels {
  // to[r to_stride + i] = from[r from_stride + i], or +=, for r < rows and i < width. The blocks do not overlap.
  void (*move)(const Stream&, T* to, int64_t to_stride, Put put, const T* from, int64_t from_stride, int64_t rows,
               int64_t width);
  // to[r to_stride + i] = value.
  void (*fill)(const Stream&, T* to, int64_t to_stride, T value, int64_t rows, int64_t width);
};

template <class T>
const BlockKernels<T>& blocks_ref();
template <class T>
const BlockKernels<T>& block_kernels(const Stream& stream);

}  // namespace og

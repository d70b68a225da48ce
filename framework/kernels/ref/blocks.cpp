#include "framework/kernels/blocks.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace og {

namespace {

template <class T>
void run(T* __restrict to, Put put, const T* __restrict from, int64_t count) {
  if (put == Put::write) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(T));
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] += from[i];
  }
}

// Threads take equal shares of the elements, so that one long row is divided too.
template <class T>
void move(const Stream& stream, T* to, int64_t to_stride, Put put, const T* from, int64_t from_stride, int64_t rows,
          int64_t width) {
  if (to_stride == width && from_stride == width) width *= std::exchange(rows, 1);
  stream.parallel_for(rows * width, 1 << 14, [&](int64_t begin, int64_t end) {
    int64_t row = begin / width, column = begin % width;
    for (int64_t left = end - begin; left > 0; ++row, column = 0) {
      const int64_t count = std::min(left, width - column);
      run(to + row * to_stride + column, put, from + row * from_stride + column, count);
      left -= count;
    }
  });
}

template <class T>
void fill(const Stream& stream, T* to, int64_t to_stride, T value, int64_t rows, int64_t width) {
  stream.parallel_for(rows, (1 << 14) / (width + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) std::fill_n(to + r * to_stride, width, value);
  });
}

}  // namespace

template <class T>
const BlockKernels<T>& blocks_ref() {
  static constexpr BlockKernels<T> table{.move = move<T>, .fill = fill<T>};
  return table;
}
template const BlockKernels<float>& blocks_ref();
template const BlockKernels<double>& blocks_ref();
template const BlockKernels<int32_t>& blocks_ref();
template const BlockKernels<int64_t>& blocks_ref();

}  // namespace og

#include "framework/kernels/embed.h"

#include <algorithm>

namespace og {

namespace {

template <class T>
void forward(const Stream& stream, View<T, 2> y, View<const T, 2> w, View<const int32_t, 1> ids, int64_t first_row) {
  const int64_t width = w.shape[1];
  stream.parallel_for(ids.size(), 256, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t row = ids(r) - first_row;
      if (row >= 0 && row < w.shape[0]) {
        std::copy_n(&w(row), width, &y(r));
      } else {
        std::fill_n(&y(r), width, T{0});
      }
    }
  });
}

// Threads take columns: the rows of an id that stands twice are added in their order.
template <class T>
void backward(const Stream& stream, View<T, 2> dw, Put put, View<const T, 2> dy, View<const int32_t, 1> ids,
              int64_t first_row) {
  stream.parallel_for(dw.shape[1], 64, [&](int64_t begin, int64_t end) {
    if (put == Put::write)
      for (int64_t v = 0; v < dw.shape[0]; ++v) std::fill(&dw(v) + begin, &dw(v) + end, T{0});
    for (int64_t r = 0; r < ids.size(); ++r) {
      const int64_t row = ids(r) - first_row;
      if (row < 0 || row >= dw.shape[0]) continue;
      T* to = &dw(row);
      const T* from = &dy(r);
      for (int64_t d = begin; d < end; ++d) to[d] += from[d];
    }
  });
}

}  // namespace

template <class T>
const EmbedKernels<T>& embed_ref() {
  static constexpr EmbedKernels<T> table{.forward = forward<T>, .backward = backward<T>};
  return table;
}
template const EmbedKernels<float>& embed_ref();
template const EmbedKernels<double>& embed_ref();

}  // namespace og

#include "parallel/comm/reduction.h"

#include <algorithm>
#include <cstring>

namespace og {

namespace {

template <class T>
void reduce(T* to, const T* from, int64_t n, Reduce op) {
  switch (op) {
    case Reduce::sum:
      for (int64_t i = 0; i < n; ++i) to[i] += from[i];
      return;
    // A NaN on any rank is a NaN on all.
    case Reduce::max:
      for (int64_t i = 0; i < n; ++i) to[i] = from[i] > to[i] || from[i] != from[i] ? from[i] : to[i];
      return;
    case Reduce::min:
      for (int64_t i = 0; i < n; ++i) to[i] = from[i] < to[i] || from[i] != from[i] ? from[i] : to[i];
      return;
  }
}

}  // namespace

void reduce_into(const Tensor& to, int64_t to_begin, const Tensor& from, int64_t from_begin, int64_t n, Reduce op) {
  OG_CHECK(to.dtype() == from.dtype(), "reduction of {} into {}", name_of(from.dtype()), name_of(to.dtype()));
  visit_any(to.dtype(), [&](auto zero) {
    using T = decltype(zero);
    reduce(to.data<T>() + to_begin, from.data<const T>() + from_begin, n, op);
  });
}

void copy_bytes(const Tensor& to, int64_t to_begin, const Tensor& from, int64_t from_begin, int64_t bytes) {
  if (bytes > 0) std::memcpy(to.raw() + to_begin, from.raw() + from_begin, static_cast<size_t>(bytes));
}

}  // namespace og

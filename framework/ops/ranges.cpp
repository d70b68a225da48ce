#include "framework/ops/ranges.h"

#include "framework/kernels/blocks.h"

namespace og {

namespace {

// A tensor seen as [outer, extent, inner].
struct Sides {
  int64_t outer = 1, extent, inner;
  Sides(const Tensor& x, int dim) {
    const int d = dim < 0 ? x.rank() + dim : dim;
    OG_CHECK(0 <= d && d < x.rank(), "dim {} of a tensor {}", dim, x.shape().str());
    for (int i = 0; i < d; ++i) outer *= x.size(i);
    extent = x.size(d);
    inner = x.shape().count_from(d + 1);
  }
};

}  // namespace

void move_range(const Stream& stream, int dim, const Tensor& to, int64_t to_begin, Put put, const Tensor& from,
                int64_t from_begin, int64_t count) {
  const Sides t(to, dim), f(from, dim);
  OG_CHECK(to.dtype() == from.dtype() && t.outer == f.outer && t.inner == f.inner && count >= 0 && to_begin >= 0 &&
               to_begin + count <= t.extent && from_begin >= 0 && from_begin + count <= f.extent,
           "move of {} places of dim {}: from {} of {} {} to {} of {} {}", count, dim, from_begin,
           name_of(from.dtype()), from.shape().str(), to_begin, name_of(to.dtype()), to.shape().str());
  visit_any(to.dtype(), [&](auto zero) {
    using T = decltype(zero);
    block_kernels<T>(stream).move(stream, to.flat<T>().data + to_begin * t.inner, t.extent * t.inner, put,
                                  from.flat<const T>().data + from_begin * f.inner, f.extent * f.inner, t.outer,
                                  count * t.inner);
  });
}

void fill_range(const Stream& stream, int dim, const Tensor& to, int64_t begin, int64_t count, double value) {
  const Sides t(to, dim);
  OG_CHECK(count >= 0 && begin >= 0 && begin + count <= t.extent, "fill of places [{}, {}) of dim {} of {}", begin,
           begin + count, dim, to.shape().str());
  visit_any(to.dtype(), [&](auto zero) {
    using T = decltype(zero);
    block_kernels<T>(stream).fill(stream, to.flat<T>().data + begin * t.inner, t.extent * t.inner,
                                  static_cast<T>(value), t.outer, count * t.inner);
  });
}

Tensor copy_range(const Context& cx, int dim, const Tensor& x, int64_t begin, int64_t end) {
  Shape shape = x.shape();
  shape.set(dim, end - begin);
  const Tensor out = cx.empty(shape, x.dtype());
  move_range(cx.stream, dim, out, 0, Put::write, x, begin, end - begin);
  return out;
}

void move_into(const Stream& stream, const Tensor& to, Put put, const Tensor& from) {
  const Tensor flat = from.reshape({from.count()});
  move_range(stream, 0, to.reshape({to.count()}), 0, put, flat, 0, from.count());
}

}  // namespace og

// Tensor: a shared block of memory, a shape and an element type; always contiguous, row-major. Copying a Tensor shares
// the memory (as a shared_ptr does). Reshapes and slices of the outermost dim share it too; everything else copies.
#pragma once

#include <memory>

#include "framework/core/pool.h"
#include "framework/core/types.h"
#include "framework/core/view.h"

namespace og {

class Tensor {
 public:
  Tensor() = default;  // absent: defined() is false

  static Tensor empty(Pool& pool, const Shape& shape, DType dtype);  // uninitialised
  static Tensor zeros(Pool& pool, const Shape& shape, DType dtype);
  static Tensor reserved_zeros(Pool& pool, const Shape& shape, DType dtype);  // no memory before somebody writes
  static Tensor full(Pool& pool, const Shape& shape, DType dtype, double value);
  // A shape and a type without memory: defined() is false, and nothing may be read.
  static Tensor shape_only(const Shape& shape, DType dtype);

  bool defined() const { return block_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int64_t size(int dim) const { return shape_[dim]; }
  int rank() const { return shape_.rank(); }
  int64_t count() const { return shape_.count(); }
  DType dtype() const { return dtype_; }
  int64_t bytes() const { return count() * size_of(dtype_); }
  std::byte* raw() const { return block_.get() + offset_; }

  template <class T>
  T* data() const {
    OG_CHECK(!defined() || DTypeOf<std::remove_const_t<T>>::value == dtype_, "tensor of {} read as another type",
             name_of(dtype_));
    return defined() ? reinterpret_cast<T*>(raw()) : nullptr;
  }
  // The view in exactly N dims. An absent tensor gives a null view.
  template <class T, int N>
  View<T, N> view() const {
    View<T, N> v;
    if (!defined()) return v;
    OG_CHECK(shape_.rank() == N, "tensor {} viewed with {} dims", shape_.str(), N);
    v.data = data<T>();
    for (int i = 0; i < N; ++i) v.shape[static_cast<size_t>(i)] = shape_[i];
    return v;
  }
  // The view as rows: all dims but the last flattened, [count / last, last].
  template <class T>
  View<T, 2> rows() const {
    if (!defined()) return {};
    const int64_t last = shape_.rank() == 0 ? 1 : shape_[-1];
    int64_t lead = 1;
    for (int i = 0; i + 1 < shape_.rank(); ++i) lead *= shape_[i];
    return {data<T>(), {lead, last}};
  }
  template <class T>
  View<T, 1> flat() const {
    return {data<T>(), {count()}};
  }

  Tensor reshape(const Shape& shape) const;        // same memory, same count
  Tensor slice(int64_t begin, int64_t end) const;  // rows [begin, end) of dim 0, same memory
  Tensor clone(Pool& pool) const;
  Tensor cast(Pool& pool, DType dtype) const;  // a copy, f32 <-> f64
  void copy_from(const Tensor& other) const;   // same shape and type
  void fill(double value) const;
  double at(int64_t i) const;  // element i of the flat tensor, for tests and scalars

 private:
  std::shared_ptr<std::byte> block_;
  int64_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::f32;
};

}  // namespace og

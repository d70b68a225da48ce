#include "framework/core/tensor.h"

#include <algorithm>
#include <cstring>

namespace og {

Tensor Tensor::empty(Pool& pool, const Shape& shape, DType dtype) {
  Tensor t = shape_only(shape, dtype);
  t.block_ = pool.allocate(t.bytes());
  return t;
}

Tensor Tensor::zeros(Pool& pool, const Shape& shape, DType dtype) {
  Tensor t = empty(pool, shape, dtype);
  if (t.bytes() > 0) std::memset(t.raw(), 0, static_cast<size_t>(t.bytes()));
  return t;
}

Tensor Tensor::reserved_zeros(Pool& pool, const Shape& shape, DType dtype) {
  Tensor t = shape_only(shape, dtype);
  t.block_ = pool.reserve_zeros(t.bytes());
  return t;
}

Tensor Tensor::full(Pool& pool, const Shape& shape, DType dtype, double value) {
  Tensor t = empty(pool, shape, dtype);
  t.fill(value);
  return t;
}

Tensor Tensor::shape_only(const Shape& shape, DType dtype) {
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  return t;
}

Tensor Tensor::reshape(const Shape& shape) const {
  OG_CHECK(shape.count() == count(), "reshape of {} to {}", shape_.str(), shape.str());
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  OG_CHECK(rank() > 0 && 0 <= begin && begin <= end && end <= shape_[0], "slice [{}, {}) of {}", begin, end,
           shape_.str());
  Tensor t = *this;
  t.offset_ += begin * shape_.count_from(1) * size_of(dtype_);
  t.shape_.set(0, end - begin);
  return t;
}

Tensor Tensor::clone(Pool& pool) const {
  Tensor t = empty(pool, shape_, dtype_);
  t.copy_from(*this);
  return t;
}

Tensor Tensor::cast(Pool& pool, DType dtype) const {
  Tensor t = empty(pool, shape_, dtype);
  visit_any(dtype_, [&](auto from) {
    visit_any(dtype, [&](auto to) {
      const auto* source = data<const decltype(from)>();
      auto* target = t.data<decltype(to)>();
      for (int64_t i = 0; i < count(); ++i) target[i] = static_cast<decltype(to)>(source[i]);
    });
  });
  return t;
}

void Tensor::copy_from(const Tensor& other) const {
  OG_CHECK(other.shape_ == shape_ && other.dtype_ == dtype_, "copy of {} {} into {} {}", name_of(other.dtype_),
           other.shape_.str(), name_of(dtype_), shape_.str());
  if (bytes() > 0) std::memcpy(raw(), other.raw(), static_cast<size_t>(bytes()));
}

void Tensor::fill(double value) const {
  visit_any(dtype_, [&](auto zero) {
    using T = decltype(zero);
    std::fill_n(data<T>(), count(), static_cast<T>(value));
  });
}

double Tensor::at(int64_t i) const {
  OG_CHECK(0 <= i && i < count(), "element {} of {}", i, shape_.str());
  return visit_any(dtype_, [&](auto zero) { return static_cast<double>(data<const decltype(zero)>()[i]); });
}

}  // namespace og

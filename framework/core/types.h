// Element types and shapes. A Shape holds up to 6 extents, row-major, outermost first; extents are int64 and may be 0.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "framework/core/error.h"

namespace og {

enum class DType : uint8_t { f32, f64, i32, i64 };

constexpr int64_t size_of(DType t) { return t == DType::f32 || t == DType::i32 ? 4 : 8; }
constexpr bool is_real(DType t) { return t == DType::f32 || t == DType::f64; }
const char* name_of(DType t);  // "F32", "F64", "I32", "I64": the names safetensors uses

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};

class Shape {
 public:
  static constexpr int kMaxRank = 6;
  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) {
    OG_CHECK(extents.size() <= kMaxRank, "shape with {} dims", extents.size());
    for (int64_t e : extents) extents_[static_cast<size_t>(rank_++)] = e;
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return extents_[static_cast<size_t>(i < 0 ? rank_ + i : i)]; }
  void set(int i, int64_t e) { extents_[static_cast<size_t>(i < 0 ? rank_ + i : i)] = e; }
  void push_back(int64_t e) {
    OG_CHECK(rank_ < kMaxRank, "shape with more than {} dims", kMaxRank);
    extents_[static_cast<size_t>(rank_++)] = e;
  }
  int64_t count() const { return count_from(0); }  // number of elements; 1 for rank 0
  int64_t count_from(int dim) const {
    int64_t n = 1;
    for (int i = dim; i < rank_; ++i) n *= extents_[static_cast<size_t>(i)];
    return n;
  }
  bool operator==(const Shape& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if ((*this)[i] != o[i]) return false;
    return true;
  }
  std::string str() const;  // "[2, 3]"

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

// visit_real(dtype, [&](auto zero) { using T = decltype(zero); ... }): runs f with a float or a double.
template <class F>
decltype(auto) visit_real(DType t, F&& f) {
  OG_CHECK(is_real(t), "expected f32 or f64, found {}", name_of(t));
  return t == DType::f32 ? f(float{}) : f(double{});
}

// visit_any: the same for every element type.
template <class F>
decltype(auto) visit_any(DType t, F&& f) {
  if (t == DType::i32) return f(int32_t{});
  return t == DType::i64 ? f(int64_t{}) : visit_real(t, f);
}

}  // namespace og

// View<T, N>: a pointer and N extents over contiguous row-major memory that somebody else owns. What kernels see.
// Trivially copyable; indexing is unchecked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace og {

template <class T, int N>
struct View {
  T* data = nullptr;
  std::array<int64_t, N> shape{};

  constexpr View() = default;
  constexpr View(T* d, std::array<int64_t, N> s) : data(d), shape(s) {}
  // View<float, N> converts to View<const float, N>.
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) constexpr View(const View<U, N>& other)
      : data(other.data), shape(other.shape) {}

  constexpr int64_t size() const {
    int64_t n = 1;
    for (int64_t e : shape) n *= e;
    return n;
  }
  constexpr explicit operator bool() const { return data != nullptr; }  // an absent optional argument is a null view

  // v(i, j, ...): with N indices the element, with fewer the address of that sub-block's first element as a reference.
  template <class... I>
  constexpr T& operator()(I... index) const {
    static_assert(sizeof...(I) <= N);
    int64_t offset = 0;
    int dim = 0;
    ((offset = offset * shape[static_cast<std::size_t>(dim++)] + static_cast<int64_t>(index)), ...);
    for (; dim < N; ++dim) offset *= shape[static_cast<std::size_t>(dim)];
    return data[offset];
  }
};

// How a backward kernel stores an output: overwrite it, or add to what is there.
enum class Put : uint8_t { write, add };

template <class T>
constexpr void store(T& target, Put put, T value) {
  target = put == Put::add ? target + value : value;
}

}  // namespace og

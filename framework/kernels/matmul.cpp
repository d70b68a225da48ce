#include "framework/kernels/matmul.h"

#include <algorithm>

#include "framework/core/error.h"
#include "framework/kernels/dispatch.h"

namespace og {

namespace {

template <class T>
void check_shapes(Transpose transpose, View<T, 2> c, View<const T, 2> a, View<const T, 2> b) {
  const int64_t m = transpose == Transpose::tn ? a.shape[1] : a.shape[0],
                ka = transpose == Transpose::tn ? a.shape[0] : a.shape[1];
  const int64_t n = transpose == Transpose::nt ? b.shape[0] : b.shape[1],
                kb = transpose == Transpose::nt ? b.shape[1] : b.shape[0];
  OG_CHECK(c.shape[0] == m && c.shape[1] == n && ka == kb, "matmul: [{}, {}] from [{}, {}] and [{}, {}], transpose {}",
           c.shape[0], c.shape[1], a.shape[0], a.shape[1], b.shape[0], b.shape[1], static_cast<int>(transpose));
}

// Products::none.
template <class T>
void no_product(Transpose transpose, View<T, 2> c, Put put) {
  if (transpose != Transpose::tn && put == Put::write) std::fill_n(c.data, c.size(), T{0});
}

}  // namespace

template <>
void matmul<double>(const Stream& stream, Transpose transpose, View<double, 2> c, Put put, View<const double, 2> a,
                    View<const double, 2> b) {
  check_built(stream.backend);
  check_shapes(transpose, c, a, b);
  if (stream.products == Products::none) return no_product(transpose, c, put);
  matmul_ref(transpose, c, put, a, b);
}

template <>
void matmul<float>(const Stream& stream, Transpose transpose, View<float, 2> c, Put put, View<const float, 2> a,
                   View<const float, 2> b) {
  check_built(stream.backend);
  check_shapes(transpose, c, a, b);
  const int64_t k = transpose == Transpose::tn ? a.shape[0] : a.shape[1];
  if (c.size() == 0) return;
  if (stream.products == Products::none) return no_product(transpose, c, put);
  if (stream.backend == Backend::ref || k == 0) return matmul_ref(transpose, c, put, a, b);
  matmul_library(stream, transpose, c, put, a, b);
}

}  // namespace og

#include "framework/kernels/matmul.h"

#include "framework/kernels/dispatch.h"
#include "framework/kernels/loops/matmul.h"

namespace og {

namespace {

// Products::none.
template <class T>
void no_product(const Stream&, Transpose transpose, Matrix<T> c, Put put, Matrix<const T>, Matrix<const T>) {
  if (transpose != Transpose::tn && put == Put::write) write_zeros(c);
}

template <class T>
const MatmulKernels<T>& none() {
  static constexpr MatmulKernels<T> table = MatmulLoops<T, no_product<T>>::table();
  return table;
}

}  // namespace

template <>
const MatmulKernels<double>& matmul_kernels(const Stream& stream) {
  check_built(stream.backend);
  return stream.products == Products::none ? none<double>() : matmul_ref<double>();
}

template <>
const MatmulKernels<float>& matmul_kernels(const Stream& stream) {
  check_built(stream.backend);
  if (stream.products == Products::none) return none<float>();
  return stream.backend == Backend::ref ? matmul_ref<float>() : matmul_library();
}

}  // namespace og

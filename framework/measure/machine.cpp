#include "framework/measure/machine.h"

#include <algorithm>

#include "framework/kernels/matmul.h"
#include "framework/kernels/pointwise.h"

namespace og {

double measure_gemm(const Stream& stream, int64_t extent, int repeats) {
  const auto pool = Pool::create(false);
  const Tensor a = Tensor::full(*pool, {extent, extent}, DType::f32, 0.5),
               b = Tensor::full(*pool, {extent, extent}, DType::f32, 0.25),
               c = Tensor::zeros(*pool, {extent, extent}, DType::f32);
  const auto run = [&] {
    matmul_kernels<float>(stream).multiply(stream, Transpose::nt, c.view<float, 2>(), Put::write,
                                           a.view<const float, 2>(), b.view<const float, 2>());
  };
  run();
  double best = 1e300;
  for (int i = 0; i < repeats; ++i) {
    const double begin = now_seconds();
    run();
    best = std::min(best, now_seconds() - begin);
  }
  const auto n = static_cast<double>(extent);
  return 2 * n * n * n / best;
}

double measure_memory(const Stream& stream, int64_t elements, int repeats) {
  const auto pool = Pool::create(false);
  const Tensor a = Tensor::zeros(*pool, {elements}, DType::f32), b = Tensor::full(*pool, {elements}, DType::f32, 1),
               c = Tensor::full(*pool, {elements}, DType::f32, 2);
  double best = 1e300;
  for (int i = 0; i <= repeats; ++i) {
    const double begin = now_seconds();
    pointwise_kernels<float>(stream).add(stream, a.view<float, 1>(), b.view<const float, 1>(),
                                         c.view<const float, 1>());
    if (i > 0) best = std::min(best, now_seconds() - begin);
  }
  return 12.0 * static_cast<double>(elements) / best;
}

}  // namespace og

// Rotary positions: the vectorised kernels against the reference, positions within documents. Gradients:
// op_table_test.cpp.
#include "framework/ops/rope.h"

#include <gtest/gtest.h>

#include "framework/kernels/rope.h"
#include "tests/tensors.h"

namespace og {
namespace {

// Documents begin at tokens 0 (of which `before` tokens came earlier), 3 and 5.
Tensor document_starts(Context& cx, int64_t rows, int64_t length, int before) {
  const Tensor t = cx.empty({rows, length}, DType::i32);
  for (int64_t i = 0; i < t.count(); ++i) {
    const int64_t token = i % length;
    t.data<int32_t>()[i] = token < 3 ? -before : token < 5 ? 3 : 5;
  }
  return t;
}

// Position 3, D = 4, theta = 100: angles 3 and 0.3; pairs are (x0, x2) and (x1, x3).
TEST(Rope, PairsTheHalves) {
  Context cx;
  const Tensor x = cx.empty({1, 1, 1, 4}, DType::f64);
  for (int i = 0; i < 4; ++i) x.data<double>()[i] = i + 1;
  const Tensor start = cx.empty({1, 1}, DType::i32);
  start.data<int32_t>()[0] = -3;
  Tape tape(cx, Tape::Mode::no_gradient);
  const Tensor y = rope(tape, Value(x), start, 100.0).tensor();
  EXPECT_NEAR(y.at(0), 1 * std::cos(3.0) - 3 * std::sin(3.0), 1e-14);
  EXPECT_NEAR(y.at(1), 2 * std::cos(0.3) - 4 * std::sin(0.3), 1e-14);
  EXPECT_NEAR(y.at(2), 3 * std::cos(3.0) + 1 * std::sin(3.0), 1e-14);
  EXPECT_NEAR(y.at(3), 4 * std::cos(0.3) + 2 * std::sin(0.3), 1e-14);
}

TEST(Rope, EveryKernelEqualsTheReference) {
  Context cx;
  std::vector<std::pair<const char*, const RopeKernels<float>*>> kernels{{"ref", &rope_ref<float>()}};
  if (best_isa() >= Isa::avx2) kernels.emplace_back("avx2", &avx2::rope_table());
  if (best_isa() >= Isa::avx512) kernels.emplace_back("avx512", &avx512::rope_table());
  for (const Shape& shape : {Shape{1, 1, 1, 2}, Shape{2, 150, 3, 10}, Shape{1, 70, 2, 64}, Shape{1, 40, 1, 300}}) {
    const Tensor x = random_tensor(cx, shape, DType::f64, 1), y0 = random_tensor(cx, shape, DType::f64, 2);
    const Tensor start = document_starts(cx, shape[0], shape[1], 100000);
    for (const Put put : {Put::write, Put::add}) {
      const Tensor truth = y0.clone(*cx.pool);
      rope_ref<double>().rotate(cx.stream, truth.view<double, 4>(), put, x.view<const double, 4>(),
                                start.view<const int32_t, 2>(), 1e4, -1);
      for (const auto& [name, table] : kernels) {
        for (const int threads : {1, 3}) {
          cx.stream.num_threads = threads;
          const Tensor y = y0.cast(*cx.pool, DType::f32);
          table->rotate(cx.stream, y.view<float, 4>(), put, x.cast(*cx.pool, DType::f32).view<const float, 4>(),
                        start.view<const int32_t, 2>(), 1e4, -1);
          EXPECT_LT(distance(y.cast(*cx.pool, DType::f64), truth), 1e-6) << name << " " << shape.str();
        }
      }
    }
  }
}

}  // namespace
}  // namespace og

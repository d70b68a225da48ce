// Norms: identities, the vectorised kernels against the reference. Gradients: op_table_test.cpp.
#include "framework/ops/norm.h"

#include <gtest/gtest.h>

#include <array>

#include "framework/kernels/norm.h"
#include "tests/tensors.h"

namespace og {
namespace {

TEST(L2Norm, GivesUnitRows) {
  Context cx;
  const Value x(random_tensor(cx, {2, 3, 5}, DType::f64, 1));
  Tape tape(cx, Tape::Mode::no_gradient);
  const auto rows = l2_norm(tape, x, 0).tensor().rows<const double>();
  for (int64_t r = 0; r < 6; ++r) {
    double sum = 0;
    for (int64_t d = 0; d < 5; ++d) sum += rows(r, d) * rows(r, d);
    EXPECT_NEAR(sum, 1, 1e-14);
  }
}

TEST(RmsNormInPieces, EqualsTheWhole) {
  Context cx;
  const Placement cut{{Axis::tensor, Place::varying}}, whole{{Axis::tensor, Place::replicated}};
  const Value leaves[] = {Value::leaf(random_tensor(cx, {2, 3, 4}, DType::f64, 1), cut),
                          Value::leaf(random_tensor(cx, {4}, DType::f64, 2), cut)};
  const auto pieces = [&](Tape& t, std::span<const Value> x) {
    // One rank: the partial mean is the whole one.
    const Value ms = mean_square(t, x[0], Axis::tensor, 4);
    Value summed = t.output_of(ms.tensor(), whole, {});
    return rms_apply(t, x[0], summed, x[1], 1e-5);
  };
  Tape tape(cx, Tape::Mode::no_gradient);
  EXPECT_LT(distance(pieces(tape, leaves).tensor(), rms_norm(tape, leaves[0], leaves[1], 1e-5).tensor()), 1e-14);
}

TEST(RmsNorm, VectorisedMatchesReference) {
  Context cx;
  const Stream ref{.backend = Backend::ref}, cpu{.num_threads = 2};
  for (const auto& [rows, width, groups] : {std::array<int64_t, 3>{1, 1, 1}, {6, 17, 3}, {130, 64, 1}, {64, 100, 2}}) {
    const Tensor x = random_tensor(cx, {rows, width}, DType::f32, 1),
                 dy = random_tensor(cx, {rows, width}, DType::f32, 2),
                 w = random_tensor(cx, {groups, width}, DType::f32, 3);
    for (Put put : {Put::write, Put::add}) {
      Tensor y[2], dx[2], dw[2];
      for (int i : {0, 1}) {
        const Stream& s = i ? cpu : ref;
        const Tensor rstd = cx.empty({rows}, DType::f32);
        y[i] = cx.empty({rows, width}, DType::f32);
        dx[i] = put == Put::add ? random_tensor(cx, {rows, width}, DType::f32, 4) : cx.empty({rows, width}, DType::f32);
        dw[i] =
            put == Put::add ? random_tensor(cx, {groups, width}, DType::f32, 5) : cx.empty({groups, width}, DType::f32);
        norm_kernels<float>(s).rms_forward(s, y[i].rows<float>(), rstd.flat<float>(), x.rows<const float>(),
                                           w.rows<const float>(), 1e-5F);
        norm_kernels<float>(s).rms_backward(s, dx[i].rows<float>(), put, dw[i].rows<float>(), put,
                                            dy.rows<const float>(), x.rows<const float>(), w.rows<const float>(),
                                            rstd.flat<const float>());
      }
      EXPECT_LT(distance(y[1], y[0]), 2e-6);
      EXPECT_LT(distance(dx[1], dx[0]), 5e-6);
      EXPECT_LT(distance(dw[1], dw[0]), 5e-6);
    }
  }
}

}  // namespace
}  // namespace og

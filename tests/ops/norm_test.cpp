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

// inverse_root, softmax and division by the last element: float against double, on any number of threads.
struct RowsScaled {
  std::vector<Tensor> all;  // each forward, then each backward
};

template <class T>
RowsScaled scale_rows(Context& cx, const Stream& stream, int64_t rows, int64_t width, Put put) {
  const DType type = DTypeOf<T>::value;
  const auto input = [&](const Shape& shape, uint64_t key, double scale, double shift) {
    const Tensor x = random_tensor(cx, shape, DType::f64, key, scale);
    for (int64_t i = 0; i < x.count(); ++i) x.data<double>()[i] += shift;
    return x.cast(*cx.pool, DType::f32).cast(*cx.pool, type);
  };
  const auto output = [&](const Shape& shape, uint64_t key) {
    return put == Put::add ? input(shape, key, 1, 0) : cx.empty(shape, type);
  };
  const NormKernels<T>& kernels = norm_kernels<T>(stream);
  const Tensor x = input({rows, width}, 1, 3, 0), dy = input({rows, width}, 2, 1, 0),
               squares = input({rows}, 3, 0.2, 1), dr = input({rows}, 4, 1, 0),
               weighted = input({rows, width + 1}, 5, 0.3, 2);
  const Tensor root = cx.empty({rows}, type), p = cx.empty({rows, width}, type), y = cx.empty({rows, width}, type);
  const Tensor d_squares = output({rows}, 6), dx = output({rows, width}, 7), d_weighted = output({rows, width + 1}, 8);
  const T eps = static_cast<T>(1e-6);
  kernels.inverse_root_forward(stream, root.flat<T>(), squares.flat<const T>(), eps);
  kernels.softmax_forward(stream, p.rows<T>(), x.rows<const T>());
  kernels.divide_by_last_forward(stream, y.rows<T>(), weighted.rows<const T>(), eps);
  kernels.inverse_root_backward(stream, d_squares.flat<T>(), put, dr.flat<const T>(), root.flat<const T>());
  kernels.softmax_backward(stream, dx.rows<T>(), put, dy.rows<const T>(), p.rows<const T>());
  kernels.divide_by_last_backward(stream, d_weighted.rows<T>(), put, dy.rows<const T>(), weighted.rows<const T>(), eps);
  return {{root, p, y, d_squares, dx, d_weighted}};
}

TEST(ScaledRows, VectorisedMatchesReferenceInDouble) {
  Context cx;
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {7, 16}, {2, 33}, {300, 64}, {0, 4}})
    for (const Put put : {Put::write, Put::add}) {
      const RowsScaled truth = scale_rows<double>(cx, {}, rows, width, put),
                       one = scale_rows<float>(cx, {}, rows, width, put),
                       three = scale_rows<float>(cx, {.num_threads = 3}, rows, width, put),
                       ref = scale_rows<float>(cx, {.backend = Backend::ref}, rows, width, put);
      for (size_t i = 0; i < truth.all.size(); ++i) {
        EXPECT_LT(distance(one.all[i].cast(*cx.pool, DType::f64), truth.all[i]), 2e-6) << i << ", width " << width;
        EXPECT_LT(distance(ref.all[i].cast(*cx.pool, DType::f64), truth.all[i]), 2e-6) << i << ", width " << width;
        EXPECT_TRUE(same_bits(one.all[i], three.all[i])) << i << ", width " << width;
      }
    }
}

// A NaN fills its row and no other; what is far below the largest is exactly 0.
TEST(ScaledRows, SoftmaxOfExtremes) {
  Context cx;
  const int64_t width = 19;
  for (const Backend backend : {Backend::ref, Backend::cpu}) {
    const Stream stream{.backend = backend};
    const Tensor x = cx.zeros({3, width}, DType::f32), p = cx.empty({3, width}, DType::f32);
    x.rows<float>()(0, 17) = std::nanf("");
    x.rows<float>()(1, 2) = 1e30F;
    x.rows<float>()(2, 18) = -HUGE_VALF;
    norm_kernels<float>(stream).softmax_forward(stream, p.rows<float>(), x.rows<const float>());
    for (int64_t d = 0; d < width; ++d) {
      EXPECT_TRUE(std::isnan(p.rows<float>()(0, d)));
      EXPECT_EQ(p.rows<float>()(1, d), d == 2 ? 1.0F : 0.0F);
      EXPECT_NEAR(p.rows<float>()(2, d), d == 18 ? 0.0 : 1.0 / 18, 1e-8);
    }
  }
}

}  // namespace
}  // namespace og

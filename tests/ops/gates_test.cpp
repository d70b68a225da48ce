// Gates: numbers worked out by hand, gradients against differences, vectorised kernels against the reference.
#include "framework/ops/gates.h"

#include <gtest/gtest.h>

#include "framework/autograd/check.h"
#include "framework/kernels/gates.h"
#include "tests/tensors.h"

namespace og {
namespace {

// Bounds as lower_bound gives them, the first 0.
Tensor bounds(Context& cx, int64_t width, DType dtype) {
  const Tensor b = cx.empty({width}, DType::f64);
  for (int64_t c = 0; c < width; ++c) b.data<double>()[c] = 0.98 * static_cast<double>(c) / static_cast<double>(width);
  return b.cast(*cx.pool, dtype);
}

TEST(Gates, LowerBoundsRiseWithTheLayer) {
  Context cx;
  Tape tape(cx, Tape::Mode::no_gradient);
  // exp: 1, 2, 5 of 8 and 3, 1, 4 of 8.
  const Tensor x = cx.empty({3, 2}, DType::f64);
  const double logs[] = {1, 3, 2, 1, 5, 4};
  for (int64_t i = 0; i < 6; ++i) x.data<double>()[i] = std::log(logs[i]) - 7;
  const double expected[3][2] = {{0, 0}, {2.0 / 8, 1.0 / 8}, {7.0 / 8, 5.0 / 8}};
  for (int layer : {0, 1, 2}) {
    const Tensor y = lower_bound(tape, Value(x), layer).tensor();
    for (int64_t c : {0, 1}) EXPECT_NEAR(y.at(c), expected[layer][c], 1e-15) << layer;
  }
}

TEST(Gates, BoundedGateIsTheLogarithmOfItsFormula) {
  Context cx;
  Tape tape(cx, Tape::Mode::no_gradient);
  const double rows[] = {0, -3, 2.5, -800, 800};
  for (double lb : {0.0, 0.25, 0.875}) {
    const Tensor x = cx.empty({5, 1}, DType::f64);
    std::copy(std::begin(rows), std::end(rows), x.data<double>());
    const Tensor g = bounded_log_gate(tape, Value(x), Value(Tensor::full(*cx.pool, {1}, DType::f64, lb))).tensor();
    for (int64_t i : {0, 1, 2}) EXPECT_NEAR(g.at(i), std::log(lb + (1 - lb) / (1 + std::exp(-rows[i]))), 1e-15) << lb;
    EXPECT_NEAR(g.at(3), lb > 0 ? std::log(lb) : -800, 1e-12) << lb;
    EXPECT_NEAR(g.at(4), 0, 1e-15) << lb;
  }
}

TEST(Gates, ConstantGateRepeatsTheDecaysOfHeads) {
  Context cx;
  Tape tape(cx, Tape::Mode::no_gradient);
  const double decays[] = {-0.5, 0, -2};
  const Tensor g = constant_gate(tape, Value(random_tensor(cx, {2, 5, 3, 1}, DType::f64, 1)), decays).tensor();
  EXPECT_EQ(g.shape(), Shape({2, 5, 3}));
  for (int64_t i = 0; i < g.count(); ++i) EXPECT_EQ(g.at(i), decays[i % 3]);
}

TEST(Gates, GradientsMatchDifferences) {
  Context cx;
  for (int layer : {0, 1, 3}) {
    const Value leaves[] = {Value::leaf(random_tensor(cx, {4, 3}, DType::f64, 1))};
    const auto check = check_gradient(
        cx, [&](Tape& t, std::span<const Value> x) { return weighted_sum(t, lower_bound(t, x[0], layer), 2); }, leaves);
    EXPECT_LT(check.largest_error, 1e-8) << check.where;
  }
  Tensor lb = bounds(cx, 5, DType::f64);
  lb.data<double>()[0] = 0.02;  // at 0 there is a gradient on one side only
  const Value leaves[] = {Value::leaf(random_tensor(cx, {2, 3, 5}, DType::f64, 3)), Value::leaf(lb)};
  const auto check = check_gradient(
      cx, [](Tape& t, std::span<const Value> x) { return weighted_sum(t, bounded_log_gate(t, x[0], x[1]), 4); },
      leaves);
  EXPECT_LT(check.largest_error, 1e-7) << check.where;
}

TEST(Gates, VectorisedMatchesReferenceInDouble) {
  Context cx;
  Context threads;
  threads.stream.num_threads = 3;
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {5, 16}, {2, 33}, {700, 19}, {0, 4}}) {
    const Tensor x64 = random_tensor(cx, {rows, width}, DType::f64, 1, 4),
                 dg64 = random_tensor(cx, {rows, width}, DType::f64, 2);
    std::vector<Tensor> results[3];  // g, dx, dbound: double, float, float on threads
    const auto run = [&](auto zero, const Stream& stream, std::vector<Tensor>& out) {
      using T = decltype(zero);
      const DType type = DTypeOf<T>::value;
      const Tensor x = x64.cast(*cx.pool, type), dg = dg64.cast(*cx.pool, type), lb = bounds(cx, width, type);
      const Tensor g = cx.empty({rows, width}, type),
                   dx = random_tensor(cx, {rows, width}, DType::f64, 5).cast(*cx.pool, type);
      const Tensor dlb = random_tensor(cx, {width}, DType::f64, 6).cast(*cx.pool, type);
      const GateKernels<T>& k = gate_kernels<T>(stream);
      k.bounded_forward(stream, g.view<T, 2>(), x.view<const T, 2>(), lb.view<const T, 1>());
      k.bounded_backward(stream, dx.view<T, 2>(), Put::add, dlb.view<T, 1>(), Put::add, dg.view<const T, 2>(),
                         x.view<const T, 2>(), lb.view<const T, 1>(), g.view<const T, 2>());
      out = {g, dx, dlb};
    };
    run(double{}, cx.stream, results[0]);
    run(float{}, cx.stream, results[1]);
    run(float{}, threads.stream, results[2]);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_LT(distance(results[1][i].cast(*cx.pool, DType::f64), results[0][i]), 3e-6) << i << ", width " << width;
      EXPECT_TRUE(same_bits(results[1][i], results[2][i])) << i << ", width " << width;
    }
  }
}

}  // namespace
}  // namespace og

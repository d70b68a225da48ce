// Products: oneDNN against plain loops at sizes off every tile, bf16 within its rounding, experts without rows.
// Gradients: op_table_test.cpp.
#include "framework/ops/linear.h"

#include <gtest/gtest.h>

#include <cstring>

#include "framework/kernels/bf16.h"
#include "framework/kernels/matmul.h"
#include "tests/tensors.h"

namespace og {
namespace {

TEST(GroupedLinear, AnExpertWithoutRowsHasAZeroGradient) {
  Context cx;
  const Value x = Value::leaf(random_tensor(cx, {7, 3}, DType::f64, 1)),
              w = Value::leaf(random_tensor(cx, {4, 2, 3}, DType::f64, 2));
  Tape tape(cx);
  tape.backward(grouped_linear(tape, x, w, {0, 0, 5, 5, 7}));
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(w.slot()->gradient().at(i), 0);
}

struct Size {
  int64_t m, n, k;
};

class Products : public testing::TestWithParam<Size> {};

// |error| <= bound * sum |a| |b|: k roundings of f32, or two of bf16 inputs.
void compare(Transpose transpose, Put put, bool bf16, const Size& size) {
  Context cx;
  const auto [m, n, k] = size;
  const Tensor a = random_tensor(cx, transpose == Transpose::tn ? Shape{k, m} : Shape{m, k}, DType::f32, 1);
  const Tensor b = random_tensor(cx, transpose == Transpose::nt ? Shape{n, k} : Shape{k, n}, DType::f32, 2);
  const Tensor c = random_tensor(cx, {m, n}, DType::f32, 3);
  const Tensor a64 = a.cast(*cx.pool, DType::f64), b64 = b.cast(*cx.pool, DType::f64),
               truth = c.cast(*cx.pool, DType::f64), sizes = c.cast(*cx.pool, DType::f64);
  matmul_ref<double>(transpose, truth.view<double, 2>(), put, a64.view<const double, 2>(), b64.view<const double, 2>());
  for (const Tensor& t : {a64, b64, sizes})
    for (int64_t i = 0; i < t.count(); ++i) t.data<double>()[i] = std::abs(t.data<double>()[i]);
  matmul_ref<double>(transpose, sizes.view<double, 2>(), Put::add, a64.view<const double, 2>(),
                     b64.view<const double, 2>());
  const Stream stream{.products = bf16 ? og::Products::bf16 : og::Products::exact, .num_threads = 2};
  matmul<float>(stream, transpose, c.view<float, 2>(), put, a.view<const float, 2>(), b.view<const float, 2>());
  const double bound = bf16 ? 2.1 / 256 : 1.2e-7 * static_cast<double>(k + 2);
  for (int64_t i = 0; i < c.count(); ++i)
    ASSERT_LE(std::abs(c.at(i) - truth.at(i)), bound * sizes.at(i) + 1e-30)
        << "element " << i << " of " << m << " x " << n << " x " << k << ", transpose " << static_cast<int>(transpose);
}

TEST_P(Products, StayWithinTheirRounding) {
  for (Transpose transpose : {Transpose::nt, Transpose::nn, Transpose::tn})
    for (Put put : {Put::write, Put::add})
      for (bool bf16 : {false, true}) compare(transpose, put, bf16, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Sizes, Products,
                         testing::Values(Size{1, 1, 1}, Size{3, 5, 7}, Size{64, 64, 64}, Size{65, 33, 129},
                                         Size{130, 48, 63}, Size{1, 96, 64}, Size{100, 1, 257}, Size{77, 80, 70}));

TEST(Bf16, VectorisedRoundingIsTheReferenceBitForBit) {
  for (int64_t n : {0, 1, 15, 17, 1025, 100003}) {
    std::vector<float> x(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      const auto bits = static_cast<uint32_t>(philox(3, static_cast<uint64_t>(i))[0]);
      std::memcpy(&x[static_cast<size_t>(i)], &bits, 4);  // every exponent, infinities and NaN among them
    }
    std::vector<uint16_t> a(static_cast<size_t>(n)), b(static_cast<size_t>(n));
    const Stream stream{.num_threads = 2};
    bf16_ref().round(stream, a.data(), x.data(), n);
    bf16_kernels(stream).round(stream, b.data(), x.data(), n);
    EXPECT_EQ(a, b) << n;
  }
  EXPECT_EQ(round_bf16(0x3F808000), 0x3F80);  // a tie goes to the even neighbour
  EXPECT_EQ(round_bf16(0x3F818000), 0x3F82);
  EXPECT_EQ(round_bf16(0x7F800001), 0x7FC0);  // a NaN whose payload would be lost stays one
}

TEST(Matmul, EmptyContractionWritesZerosAndEmptyOutputsDoNothing) {
  Context cx;
  const Stream stream;
  const Tensor c = random_tensor(cx, {2, 3}, DType::f32, 1), none = cx.empty({0, 2}, DType::f32),
               none3 = cx.empty({0, 3}, DType::f32);
  matmul<float>(stream, Transpose::tn, c.view<float, 2>(), Put::write, none.view<const float, 2>(),
                none3.view<const float, 2>());
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(c.at(i), 0);
  matmul<float>(stream, Transpose::nn, none3.view<float, 2>(), Put::write, none.view<const float, 2>(),
                c.view<const float, 2>());
}

}  // namespace
}  // namespace og

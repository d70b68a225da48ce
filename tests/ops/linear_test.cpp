// Products: oneDNN against plain loops at sizes off every tile, bf16 within its rounding, experts without rows.
// Gradients: op_table_test.cpp.
#include "framework/ops/linear.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "framework/kernels/bf16.h"
#include "framework/kernels/matmul.h"
#include "tests/tensors.h"

namespace og {
namespace {

Tensor borders(Context& cx, const std::vector<int64_t>& values) {
  const Tensor t = cx.empty({std::ssize(values)}, DType::i64);
  std::copy(values.begin(), values.end(), t.data<int64_t>());
  return t;
}

TEST(GroupedLinear, AnExpertWithoutRowsHasAZeroGradient) {
  Context cx;
  const Value x = Value::leaf(random_tensor(cx, {7, 3}, DType::f64, 1)),
              w = Value::leaf(random_tensor(cx, {4, 2, 3}, DType::f64, 2));
  Tape tape(cx);
  tape.backward(grouped_linear(tape, x, w, borders(cx, {0, 0, 5, 5, 7})));
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(w.slot()->gradient().at(i), 0);
}

// Whatever lies in rows after the last border, NaN too, reaches nothing.
TEST(GroupedLinear, RowsAfterTheLastBorderBelongToNoExpert) {
  Context cx;
  const Tensor rows = random_tensor(cx, {9, 3}, DType::f32, 1), dy = random_tensor(cx, {9, 2}, DType::f32, 3);
  const Tensor w = random_tensor(cx, {4, 2, 3}, DType::f32, 2);
  Tensor y[2], dx[2], dw[2];
  for (const int64_t tail : {0, 2}) {
    const int64_t n = 7 + tail, i = tail / 2;
    if (tail > 0) {
      rows.slice(7, 9).fill(std::numeric_limits<double>::quiet_NaN());
      dy.slice(7, 9).fill(std::numeric_limits<double>::quiet_NaN());
    }
    const Value leaf = Value::leaf(rows.slice(0, n).clone(*cx.pool)), weight = Value::leaf(w);
    Tape tape(cx);
    const Value out = grouped_linear(tape, leaf, weight, borders(cx, {0, 0, 5, 5, 7}));
    out.slot()->open(cx).tensor.copy_from(dy.slice(0, n));
    tape.backward_from_slots();
    y[i] = out.tensor(), dx[i] = leaf.slot()->gradient(), dw[i] = weight.slot()->gradient();
  }
  EXPECT_TRUE(same_bits(y[1].slice(0, 7), y[0]) && same_bits(dx[1].slice(0, 7), dx[0]) && same_bits(dw[1], dw[0]));
  for (const Tensor& t : {y[1].slice(7, 9), dx[1].slice(7, 9)})
    for (int64_t i = 0; i < t.count(); ++i) EXPECT_EQ(t.at(i), 0);
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
  matmul_ref<double>().multiply({}, transpose, truth.view<double, 2>(), put, a64.view<const double, 2>(),
                                b64.view<const double, 2>());
  for (const Tensor& t : {a64, b64, sizes})
    for (int64_t i = 0; i < t.count(); ++i) t.data<double>()[i] = std::abs(t.data<double>()[i]);
  matmul_ref<double>().multiply({}, transpose, sizes.view<double, 2>(), Put::add, a64.view<const double, 2>(),
                                b64.view<const double, 2>());
  const Stream stream{.products = bf16 ? og::Products::bf16 : og::Products::exact, .num_threads = 2};
  matmul_kernels<float>(stream).multiply(stream, transpose, c.view<float, 2>(), put, a.view<const float, 2>(),
                                         b.view<const float, 2>());
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

// Element (i, j) of matrix n of a batch that lies in `x` as heads do: [rows, count, columns], or apart.
template <class T>
MatrixBatch<T> batch_of(const Tensor& x, bool interleaved) {
  const auto v = x.view<T, 3>();
  if (!interleaved) return {{v.data, v.shape[1], v.shape[2], v.shape[2]}, v.shape[1] * v.shape[2]};
  return {{v.data, v.shape[0], v.shape[2], v.shape[1] * v.shape[2]}, v.shape[2]};
}

// Each product of a batch is what `multiply` makes of copies without gaps.
TEST(Matmul, BatchesWithGapsEqualProductsOfCopies) {
  Context cx;
  const int64_t count = 3;
  const auto compare = [&](auto zero, const Stream& stream, Transpose transpose, Put put, bool b_interleaved,
                           const Size& size, double bound) {
    using T = decltype(zero);
    const DType type = DTypeOf<T>::value;
    const auto [m, n, k] = size;
    const bool tn = transpose == Transpose::tn, nt = transpose == Transpose::nt;
    const int64_t b_rows = nt ? n : k, b_columns = nt ? k : n;
    const Tensor a = random_tensor(cx, {tn ? k : m, count, tn ? m : k}, type, 1),
                 b = random_tensor(
                     cx, b_interleaved ? Shape{b_rows, count, b_columns} : Shape{count, b_rows, b_columns}, type, 2),
                 c = random_tensor(cx, {m, count, n}, type, 3);
    const Tensor before = c.clone(*cx.pool);
    const MatmulKernels<T>& kernels = matmul_kernels<T>(stream);
    const auto as = batch_of<const T>(a, true), bs = batch_of<const T>(b, b_interleaved);
    const auto cs = batch_of<T>(c, true), befores = batch_of<T>(before, true);
    kernels.batched(stream, transpose, count, cs, put, as, bs);
    const auto copy = [&](auto x) {
      const Tensor t = cx.empty({x.rows, x.columns}, type);
      for (int64_t i = 0; i < x.rows; ++i) std::copy_n(x.row(i), x.columns, &t.rows<T>()(i));
      return t;
    };
    for (int64_t i = 0; i < count; ++i) {
      const Tensor expected = copy(befores[i]);
      kernels.multiply(stream, transpose, expected.rows<T>(), put, copy(as[i]).template rows<const T>(),
                       copy(bs[i]).template rows<const T>());
      EXPECT_LE(distance(copy(cs[i]), expected), bound)
          << m << " x " << n << " x " << k << ", transpose " << static_cast<int>(transpose) << ", matrix " << i;
    }
  };
  for (const Transpose transpose : {Transpose::nt, Transpose::nn, Transpose::tn})
    for (const Put put : {Put::write, Put::add})
      for (const bool b_interleaved : {false, true})
        for (const Size& size : {Size{1, 1, 1}, {5, 3, 7}, {70, 16, 33}, {128, 64, 64}, {1, 32, 64}}) {
          const auto run = [&](auto zero, const Stream& stream, double bound) {
            compare(zero, stream, transpose, put, b_interleaved, size, bound);
          };
          run(double{}, {}, 0);
          run(float{}, {.backend = Backend::ref}, 0);
          run(float{}, {.num_threads = 2}, 2e-6);
          run(float{}, {.products = og::Products::bf16, .num_threads = 2}, 2e-6);
        }
}

// The same by group, some without rows.
TEST(Matmul, GroupsEqualTheirProducts) {
  Context cx;
  const std::vector<int64_t> begin{0, 0, 5, 70, 70, 71};
  const View<const int64_t, 1> borders{begin.data(), {std::ssize(begin)}};
  const int64_t groups = 5, rows = 71, in = 7, out = 3;
  for (const Put put : {Put::write, Put::add}) {
    const Stream stream{.num_threads = 2};
    const auto& kernels = matmul_kernels<float>(stream);
    const Tensor x = random_tensor(cx, {rows, in}, DType::f32, 1),
                 w = random_tensor(cx, {groups, out, in}, DType::f32, 2),
                 y = random_tensor(cx, {rows, out}, DType::f32, 3), dw = random_tensor(cx, w.shape(), DType::f32, 4),
                 dy = random_tensor(cx, {rows, out}, DType::f32, 5);
    const Tensor expected_y = y.clone(*cx.pool), expected_dw = dw.clone(*cx.pool);
    kernels.grouped_rows(stream, Transpose::nt, y.rows<float>(), put, x.rows<const float>(), w.view<const float, 3>(),
                         borders);
    kernels.grouped_weights(stream, dw.view<float, 3>(), put, dy.rows<const float>(), x.rows<const float>(), borders);
    for (int64_t e = 0; e < groups; ++e) {
      const auto part = [&](const Tensor& t) {
        return t.slice(begin[static_cast<size_t>(e)], begin[static_cast<size_t>(e) + 1]);
      };
      const auto matrix = [&](const Tensor& t) { return t.slice(e, e + 1).reshape({out, in}); };
      kernels.multiply(stream, Transpose::nt, part(expected_y).rows<float>(), put, part(x).rows<const float>(),
                       matrix(w).rows<const float>());
      kernels.multiply(stream, Transpose::tn, matrix(expected_dw).rows<float>(), put, part(dy).rows<const float>(),
                       part(x).rows<const float>());
    }
    EXPECT_TRUE(same_bits(y, expected_y));
    EXPECT_TRUE(same_bits(dw, expected_dw));
  }
}

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
  const MatmulKernels<float>& kernels = matmul_kernels<float>(stream);
  kernels.multiply(stream, Transpose::tn, c.view<float, 2>(), Put::write, none.view<const float, 2>(),
                   none3.view<const float, 2>());
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(c.at(i), 0);
  kernels.multiply(stream, Transpose::nn, none3.view<float, 2>(), Put::write, none.view<const float, 2>(),
                   c.view<const float, 2>());
}

}  // namespace
}  // namespace og

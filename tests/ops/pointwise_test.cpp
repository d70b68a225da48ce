// Pointwise and shape ops: gradients against differences for every row, vectorised kernels against the reference.
#include "framework/ops/pointwise.h"

#include <gtest/gtest.h>

#include <functional>

#include "framework/autograd/check.h"
#include "framework/ops/shape.h"
#include "tests/tensors.h"

namespace og {
namespace {

constexpr Unary kAll[] = {Unary::identity, Unary::silu,         Unary::sigmoid,       Unary::softplus,
                          Unary::relu,     Unary::squared_relu, Unary::gelu,          Unary::elu_plus_one,
                          Unary::exp,      Unary::log_sigmoid,  Unary::one_minus_exp, Unary::neg_exp};

struct Row {
  const char* name;
  std::vector<Shape> inputs;
  std::function<Value(Tape&, std::span<const Value>)> op;
};

std::vector<Row> rows() {
  std::vector<Row> rows;
  for (Unary f : kAll) rows.push_back({name_of(f), {{3, 5}}, [f](Tape& t, auto x) { return apply(t, f, x[0]); }});
  rows.push_back({"add", {{2, 3}, {2, 3}}, [](Tape& t, auto x) { return add(t, x[0], x[1]); }});
  rows.push_back({"add to itself", {{2, 3}}, [](Tape& t, auto x) { return add(t, x[0], x[0]); }});
  rows.push_back({"multiply", {{2, 3}, {2, 3}}, [](Tape& t, auto x) { return multiply(t, x[0], x[1]); }});
  rows.push_back({"square", {{2, 3}}, [](Tape& t, auto x) { return multiply(t, x[0], x[0]); }});
  rows.push_back({"scale", {{7}}, [](Tape& t, auto x) { return scale(t, x[0], -2.5); }});
  rows.push_back({"silu_multiply", {{2, 3}, {2, 3}}, [](Tape& t, auto x) { return silu_multiply(t, x[0], x[1]); }});
  rows.push_back({"add_bias", {{2, 3, 4}, {4}}, [](Tape& t, auto x) { return add_bias(t, x[0], x[1]); }});
  rows.push_back({"multiply_last", {{2, 3, 4}, {4}}, [](Tape& t, auto x) { return multiply_last(t, x[0], x[1]); }});
  rows.push_back({"multiply_rows", {{2, 3, 4}, {2, 3}}, [](Tape& t, auto x) { return multiply_rows(t, x[0], x[1]); }});
  rows.push_back(
      {"multiply_heads", {{2, 3, 4, 2}, {4}}, [](Tape& t, auto x) { return multiply_heads(t, x[0], x[1]); }});
  rows.push_back({"reshape", {{2, 6}}, [](Tape& t, auto x) { return reshape(t, x[0], {3, 4}); }});
  rows.push_back({"split and concat", {{2, 6}}, [](Tape& t, auto x) {
                    const auto p = split_last(t, x[0], {1, 3, 2});
                    return concat_last(t, {p[2], p[0], p[2]});
                  }});
  rows.push_back({"repeat_heads", {{2, 3, 2, 2}}, [](Tape& t, auto x) { return repeat_heads(t, x[0], 3); }});
  rows.push_back({"slice_heads", {{2, 3, 4, 2}}, [](Tape& t, auto x) {
                    return add(t, slice_heads(t, x[0], 1, 2), slice_heads(t, x[0], 2, 2));
                  }});
  rows.push_back({"repeat_elements", {{3}}, [](Tape& t, auto x) { return repeat_elements(t, x[0], 4); }});
  rows.push_back({"append_ones", {{2, 3}}, [](Tape& t, auto x) { return append_ones(t, x[0]); }});
  return rows;
}

TEST(PointwiseAndShape, GradientsMatchDifferences) {
  Context cx;
  for (const Row& row : rows()) {
    std::vector<Value> leaves;
    for (const Shape& s : row.inputs)
      leaves.push_back(Value::leaf(random_tensor(cx, s, DType::f64, leaves.size() + 1)));
    const auto check = check_gradient(
        cx, [&](Tape& t, std::span<const Value> x) { return weighted_sum(t, row.op(t, x), 9); }, leaves);
    EXPECT_LT(check.largest_error, 1e-7) << row.name << ": " << check.where;
  }
}

TEST(PointwiseAndShape, EmptyInputsGiveEmptyOutputs) {
  Context cx;
  for (const Row& row : rows()) {
    std::vector<Value> leaves;
    for (Shape s : row.inputs) {
      if (s.rank() > 1) s.set(0, 0);
      leaves.push_back(Value::leaf(random_tensor(cx, s, DType::f32, 1)));
    }
    if (std::string(row.name) == "reshape") continue;
    Tape tape(cx);
    const Value y = row.op(tape, leaves);
    if (y.shape().count() > 0) continue;  // its inputs are vectors alone: none is empty
    tape.backward(weighted_sum(tape, y, 1));
    for (const Value& leaf : leaves) {
      ASSERT_TRUE(leaf.slot()->has_gradient()) << row.name;
      for (int64_t i = 0; i < leaf.shape().count(); ++i) EXPECT_EQ(leaf.slot()->gradient().at(i), 0) << row.name;
    }
  }
}

TEST(Pointwise, VectorisedMatchesReference) {
  Context cx;
  const Stream ref{.backend = Backend::ref}, cpu{.num_threads = 2};
  for (int64_t n : {1, 17, 40001}) {
    const Tensor x = random_tensor(cx, {n}, DType::f32, 5, 4), dy = random_tensor(cx, {n}, DType::f32, 6);
    for (Unary f : kAll) {
      Tensor y[2], dx[2];
      for (int i : {0, 1}) {
        const Stream& s = i ? cpu : ref;
        y[i] = cx.empty({n}, DType::f32);
        dx[i] = random_tensor(cx, {n}, DType::f32, 7);
        pointwise_kernels<float>(s).unary_forward(s, f, y[i].flat<float>(), x.flat<const float>());
        pointwise_kernels<float>(s).unary_backward(s, f, dx[i].flat<float>(), Put::add, dy.flat<const float>(),
                                                   x.flat<const float>());
      }
      EXPECT_LT(distance(y[1], y[0]), 2e-6) << name_of(f);
      EXPECT_LT(distance(dx[1], dx[0]), 2e-6) << name_of(f);
    }
  }
}

TEST(Pointwise, ExtremesAreExactOrInfiniteAndNaNStays) {
  Context cx;
  const float values[] = {0.0F, -0.0F, 1e-8F, -1e-8F, 80.0F, -80.0F, -100.0F, 88.0F, -HUGE_VALF};
  const Tensor x = cx.empty({9}, DType::f32);
  std::copy(std::begin(values), std::end(values), x.data<float>());
  for (Unary f : {Unary::exp, Unary::sigmoid, Unary::log_sigmoid, Unary::softplus, Unary::one_minus_exp}) {
    Tensor y[2];
    for (int i : {0, 1}) {
      const Stream s{.backend = i ? Backend::cpu : Backend::ref};
      y[i] = cx.empty({9}, DType::f32);
      pointwise_kernels<float>(s).unary_forward(s, f, y[i].flat<float>(), x.flat<const float>());
    }
    for (int64_t i = 0; i < 9; ++i) {
      if (std::isinf(y[0].at(i))) {
        EXPECT_EQ(y[1].at(i), y[0].at(i)) << name_of(f) << " of " << values[i];
      } else {
        EXPECT_NEAR(y[1].at(i), y[0].at(i), 1e-37 + 4e-7 * std::abs(y[0].at(i))) << name_of(f) << " of " << values[i];
      }
    }
  }
  x.fill(std::nan(""));
  const Stream s;
  const Tensor y = cx.empty({9}, DType::f32);
  pointwise_kernels<float>(s).unary_forward(s, Unary::silu, y.flat<float>(), x.flat<const float>());
  EXPECT_TRUE(std::isnan(y.at(3)));
}

}  // namespace
}  // namespace og

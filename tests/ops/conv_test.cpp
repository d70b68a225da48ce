// Short convolution on one piece: gradients, the vectorised kernels against the reference, documents.
#include "framework/ops/conv.h"

#include <gtest/gtest.h>

#include "framework/autograd/check.h"
#include "tests/tensors.h"

namespace og {
namespace {

// Documents: one that began before the piece, others at the given tokens.
Tensor document_starts(Context& cx, int64_t rows, int64_t length, std::initializer_list<int> begins) {
  const Tensor t = cx.empty({rows, length}, DType::i32);
  for (int64_t b = 0; b < rows; ++b) {
    for (int64_t i = 0; i < length; ++i) {
      int start = -2;
      for (const int begin : begins)
        if (begin <= i) start = begin;
      t.data<int32_t>()[b * length + i] = start;
    }
  }
  return t;
}

TEST(ShortConv, GradientsMatchDifferences) {
  Context cx;
  const auto leaf = [&](const Shape& shape, uint64_t key) {
    return Value::leaf(random_tensor(cx, shape, DType::f64, key));
  };
  for (const int64_t length : {6, 2, 0}) {
    for (const ConvActivation activation : {ConvActivation::identity, ConvActivation::silu}) {
      const Value leaves[] = {leaf({2, length, 3}, 1), leaf({2, 3, 3}, 2), leaf({3, 4}, 3), leaf({3}, 4)};
      const Tensor start = document_starts(cx, 2, length, {2, 3});
      const auto check = check_gradient(
          cx,
          [&](Tape& t, std::span<const Value> x) {
            return weighted_sum(t, short_conv(t, x[0], x[1], x[2], x[3], start, activation), 5);
          },
          leaves);
      EXPECT_LT(check.largest_error, 1e-7) << check.where;
    }
  }
}

// Width 1, no rows to the left, no bias: a factor per channel.
TEST(ShortConv, WidthOneScales) {
  Context cx;
  Tape tape(cx, Tape::Mode::no_gradient);
  const Value x(random_tensor(cx, {1, 3, 2}, DType::f64, 1)), w(random_tensor(cx, {2, 1}, DType::f64, 2));
  const Tensor y = short_conv(tape, x, Value(cx.empty({1, 0, 2}, DType::f64)), w, Value(),
                              document_starts(cx, 1, 3, {0}), ConvActivation::identity)
                       .tensor();
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(y.at(i), x.tensor().at(i) * w.tensor().at(i % 2));
}

struct Results {
  Tensor y, dx, dleft, dweight, dbias;
};

template <class T>
Results run(Context& cx, const ConvKernels<T>& kernels, const Shape& shape, int64_t taps, bool bias, Put put,
            ConvActivation activation, const Tensor& start) {
  const auto random = [&](const Shape& s, uint64_t key) {
    return random_tensor(cx, s, DType::f64, key).cast(*cx.pool, DTypeOf<T>::value);
  };
  const Shape left_shape{shape[0], taps - 1, shape[2]}, weight_shape{shape[2], taps};
  const Tensor x = random(shape, 1), left = random(left_shape, 2), w = random(weight_shape, 3),
               b = random({shape[2]}, 4), dy = random(shape, 5);
  const Results r{random(shape, 6), random(shape, 7), random(left_shape, 8), random(weight_shape, 9),
                  random({shape[2]}, 10)};
  const ConvInputs<T> in{.x = x.view<const T, 3>(),
                         .left = left.view<const T, 3>(),
                         .weight = w.view<const T, 2>(),
                         .bias = bias ? b.view<const T, 1>() : View<const T, 1>{},
                         .start = start.view<const int32_t, 2>(),
                         .activation = activation};
  kernels.forward(cx.stream, r.y.view<T, 3>(), in);
  kernels.backward(cx.stream,
                   {.dx = r.dx.view<T, 3>(),
                    .put_dx = put,
                    .dleft = r.dleft.view<T, 3>(),
                    .put_dleft = put,
                    .dweight = r.dweight.view<T, 2>(),
                    .put_dweight = put,
                    .dbias = r.dbias.view<T, 1>(),
                    .put_dbias = put},
                   dy.view<const T, 3>(), in);
  return r;
}

TEST(ShortConv, EveryKernelEqualsTheReference) {
  Context cx;
  std::vector<std::pair<const char*, const ConvKernels<float>*>> kernels{{"ref", &conv_ref<float>()}};
  if (best_isa() >= Isa::avx2) kernels.emplace_back("avx2", &avx2::conv_table());
  if (best_isa() >= Isa::avx512) kernels.emplace_back("avx512", &avx512::conv_table());
  for (const auto& [shape, taps] : std::vector<std::pair<Shape, int64_t>>{{{1, 1, 1}, 4},
                                                                          {{2, 300, 21}, 4},
                                                                          {{1, 2, 300}, 4},
                                                                          {{1, 11, 1100}, 4},
                                                                          {{2, 37, 300}, 3},
                                                                          {{1, 9, 16}, 1},
                                                                          {{1, 0, 16}, 4},
                                                                          {{2, 20, 40}, 8},
                                                                          {{1, 20, 5}, 9}}) {
    const Tensor start = document_starts(cx, shape[0], shape[1], {5, 6, 30});
    for (const Put put : {Put::write, Put::add}) {
      for (const auto activation : {ConvActivation::identity, ConvActivation::silu}) {
        const bool bias = put == Put::add;
        const Results truth = run(cx, conv_ref<double>(), shape, taps, bias, put, activation, start);
        for (const auto& [name, table] : kernels) {
          for (const int threads : {1, 3}) {
            cx.stream.num_threads = threads;
            const Results r = run(cx, *table, shape, taps, bias, put, activation, start);
            const auto near = [&](const Tensor& a, const Tensor& b) {
              return distance(a.cast(*cx.pool, DType::f64), b) < 5e-6;
            };
            EXPECT_TRUE(near(r.y, truth.y) && near(r.dx, truth.dx) && near(r.dleft, truth.dleft) &&
                        near(r.dweight, truth.dweight) && near(r.dbias, truth.dbias))
                << name << " " << shape.str() << " taps " << taps;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace og

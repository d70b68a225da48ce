// Attention on one rank: values, gradients, masks, the vectorised kernels against the reference.
#include "framework/ops/attention.h"

#include <gtest/gtest.h>

#include "framework/autograd/check.h"
#include "framework/kernels/attention.h"
#include "framework/ops/pointwise.h"
#include "tests/tensors.h"

namespace og {
namespace {

Tensor of(Context& cx, const Shape& shape, std::initializer_list<double> values) {
  const Tensor t = cx.empty(shape, DType::f64);
  std::copy(values.begin(), values.end(), t.data<double>());
  return t;
}

Tensor starts(Context& cx, int64_t rows, std::initializer_list<int> of_row) {
  const Tensor t = cx.empty({rows, static_cast<int64_t>(of_row.size())}, DType::i32);
  for (int64_t b = 0; b < rows; ++b)
    std::copy(of_row.begin(), of_row.end(), t.data<int32_t>() + b * static_cast<int64_t>(of_row.size()));
  return t;
}

TEST(Attention, GoldenValues) {
  Context cx;
  const Value q(of(cx, {1, 4, 1, 2}, {1, 0, 1, 1, 0, 2, 1, -1}));
  const Value k(of(cx, {1, 4, 1, 2}, {1, 0, 0, 1, 1, 1, 1, 0}));
  const Value v(of(cx, {1, 4, 1, 2}, {1, 2, 3, -1, 2, 0, -1, 4}));
  Tape tape(cx, Tape::Mode::no_gradient);
  EXPECT_LT(distance(attention(tape, q, k, v, {}, 0, {}).tensor(),
                     of(cx, {1, 4, 1, 2}, {1, 2, 2, .5, 2.337425, -.229041, .626963, 2.103981})),
            1e-6);
  EXPECT_LT(distance(attention(tape, q, k, v, {}, 0, {.window = 2}).tensor(),
                     of(cx, {1, 4, 1, 2}, {1, 2, 2, .5, 2.5, -.5, -.009285, 2.679046})),
            1e-6);
  for (const int64_t window : {4, 100})
    EXPECT_TRUE(same_bits(attention(tape, q, k, v, {}, 0, {.window = window}).tensor(),
                          attention(tape, q, k, v, {}, 0, {}).tensor()));
}

TEST(Attention, GradientsMatchDifferences) {
  Context cx;
  const auto leaf = [&](const Shape& shape, uint64_t key) {
    return Value::leaf(random_tensor(cx, shape, DType::f64, key));
  };
  struct Case {
    int64_t keys, offset, window;
    Tensor start;
  };
  for (const Case& c : {Case{5, 0, 0, {}}, Case{5, 0, 2, starts(cx, 2, {0, 0, 2, 2, 4})}, Case{8, 3, 0, {}},
                        Case{8, 3, 4, starts(cx, 2, {-3, -3, -3, 3, 3})}, Case{3, 6, 0, {}}, Case{0, 0, 0, {}}}) {
    const Value leaves[] = {leaf({2, 5, 4, 3}, 1), leaf({2, c.keys, 2, 3}, 2), leaf({2, c.keys, 2, 2}, 3)};
    const auto check = check_gradient(
        cx,
        [&](Tape& t, std::span<const Value> x) {
          return add(
              t, weighted_sum(t, attention(t, x[0], x[1], x[2], c.start, c.offset, {.window = c.window}), 4),
              weighted_sum(t, attention(t, x[0], x[1], x[2], c.start, c.offset, {.window = c.window, .softmax = false}),
                           5));
        },
        leaves);
    EXPECT_LT(check.largest_error, 1e-7) << check.where << " keys " << c.keys;
  }
}

struct KernelCase {
  int64_t rows, queries, keys, heads, key_heads, width_k, width_v, offset, window;
  bool documents;
};

struct Results {
  Tensor o, lse, dq, dk, dv;
};

// The kernels over all keys, or over keys [0, cut) and then the rest.
template <class T>
Results run(Context& cx, const AttentionKernels<T>& kernels, const KernelCase& c, const Tensor& start, int64_t cut,
            bool softmax) {
  const auto random = [&](const Shape& shape, uint64_t key) {
    return random_tensor(cx, shape, DType::f64, key).cast(*cx.pool, DTypeOf<T>::value);
  };
  const Tensor q = random({c.rows, c.queries, c.heads, c.width_k}, 1);
  const Tensor d_o = random({c.rows, c.queries, c.heads, c.width_v}, 2);
  const Tensor k = random({c.rows, c.keys, c.key_heads, c.width_k}, 3);
  const Tensor v = random({c.rows, c.keys, c.key_heads, c.width_v}, 4);
  const auto part = [&](const Tensor& x, int64_t begin, int64_t end) {
    const Tensor t = cx.empty({c.rows, end - begin, x.size(2), x.size(3)}, x.dtype());
    for (int64_t b = 0; b < c.rows; ++b)
      t.slice(b, b + 1).copy_from(x.slice(b, b + 1)
                                      .reshape({c.keys, x.size(2), x.size(3)})
                                      .slice(begin, end)
                                      .reshape({1, end - begin, x.size(2), x.size(3)}));
    return t;
  };
  const auto put_back = [&](const Tensor& x, const Tensor& t, int64_t begin) {
    for (int64_t b = 0; b < c.rows; ++b)
      x.slice(b, b + 1)
          .reshape({c.keys, x.size(2), x.size(3)})
          .slice(begin, begin + t.size(1))
          .copy_from(t.slice(b, b + 1).reshape({t.size(1), x.size(2), x.size(3)}));
  };
  Results r{cx.empty(d_o.shape(), q.dtype()), cx.empty({c.rows, c.queries, c.heads}, q.dtype()),
            cx.empty(q.shape(), q.dtype()), cx.empty(k.shape(), q.dtype()), cx.empty(v.shape(), q.dtype())};
  const int64_t borders[] = {0, cut, c.keys};
  const auto piece = [&](int64_t begin) {
    return AttentionPiece{.start = start.view<const int32_t, 2>(),
                          .offset = c.offset - begin,
                          .window = c.window,
                          .heads_per_key = c.heads / c.key_heads,
                          .scale = 0.3,
                          .softmax = softmax};
  };
  for (int n = 1; n >= 0; --n) {
    const Tensor kn = part(k, borders[n], borders[n + 1]), vn = part(v, borders[n], borders[n + 1]);
    kernels.forward(cx.stream, r.o.view<T, 4>(), r.lse.view<T, 3>(), n == 1 ? Put::write : Put::add,
                    q.view<const T, 4>(), kn.view<const T, 4>(), vn.view<const T, 4>(), piece(borders[n]));
  }
  for (int n = 1; n >= 0; --n) {
    const Tensor kn = part(k, borders[n], borders[n + 1]), vn = part(v, borders[n], borders[n + 1]);
    const Tensor dk = cx.zeros(kn.shape(), q.dtype()), dv = cx.empty(vn.shape(), q.dtype());
    kernels.backward(cx.stream, r.dq.view<T, 4>(), n == 1 ? Put::write : Put::add, dk.view<T, 4>(), Put::add,
                     dv.view<T, 4>(), Put::write, d_o.view<const T, 4>(), q.view<const T, 4>(), kn.view<const T, 4>(),
                     vn.view<const T, 4>(), r.o.view<const T, 4>(), r.lse.view<const T, 3>(), piece(borders[n]));
    put_back(r.dk, dk, borders[n]);
    put_back(r.dv, dv, borders[n]);
  }
  return r;
}

void expect_near(const Results& a, const Results& b, double bound, const std::string& what, Context& cx) {
  const auto near = [&](const Tensor& x, const Tensor& y) { return distance(x.cast(*cx.pool, DType::f64), y); };
  EXPECT_LT(near(a.o, b.o), bound) << what;
  EXPECT_LT(near(a.dq, b.dq), bound) << what;
  EXPECT_LT(near(a.dk, b.dk), bound) << what;
  EXPECT_LT(near(a.dv, b.dv), bound) << what;
  for (int64_t i = 0; i < a.lse.count(); ++i) {
    if (std::isinf(b.lse.at(i))) {
      EXPECT_EQ(a.lse.at(i), b.lse.at(i)) << what;
    } else {
      EXPECT_NEAR(a.lse.at(i), b.lse.at(i), 10 * bound) << what;
    }
  }
}

TEST(Attention, EveryKernelEqualsTheReference) {
  Context cx;
  std::vector<std::pair<std::string, const AttentionKernels<float>*>> kernels{{"ref", &attention_ref<float>()}};
  if (best_isa() >= Isa::avx2) kernels.emplace_back("avx2", &avx2::attention_table());
  if (best_isa() >= Isa::avx512) kernels.emplace_back("avx512", &avx512::attention_table());
  for (const KernelCase& c :
       {KernelCase{1, 1, 1, 1, 1, 1, 1, 0, 0, false}, KernelCase{2, 65, 65, 2, 1, 8, 16, 0, 0, false},
        KernelCase{1, 130, 130, 8, 2, 64, 64, 0, 0, true}, KernelCase{2, 67, 67, 3, 3, 33, 17, 0, 20, true},
        KernelCase{1, 5, 200, 6, 2, 16, 24, 195, 70, false}, KernelCase{2, 1, 77, 4, 2, 64, 40, 76, 0, false},
        KernelCase{1, 40, 30, 2, 2, 12, 20, 90, 0, true}, KernelCase{1, 40, 30, 2, 2, 12, 20, -10, 0, false},
        KernelCase{1, 150, 150, 1, 1, 40, 40, 0, 0, false}, KernelCase{1, 3, 0, 2, 1, 8, 8, 0, 0, false},
        KernelCase{2, 0, 9, 2, 1, 8, 8, 9, 0, false}, KernelCase{1, 20, 20, 65, 1, 4, 300, 0, 0, false}}) {
    Tensor start;
    if (c.documents) {
      start = cx.empty({c.rows, c.queries}, DType::i32);
      for (int64_t i = 0; i < start.count(); ++i) {
        const auto t = static_cast<int32_t>(i % c.queries);
        start.data<int32_t>()[i] = t < 7 ? -25 : t < 71 ? 7 : t;
      }
    }
    for (const bool softmax : {true, false}) {
      const Results truth = run(cx, attention_ref<double>(), c, start, 0, softmax);
      for (const auto& [name, table] : kernels) {
        for (const int threads : {1, 5}) {
          cx.stream.num_threads = threads;
          for (const int64_t cut : {int64_t{0}, c.keys / 3}) {
            const std::string what =
                fmt::format("{}, {} threads, q {} k {} heads {}/{} widths {}/{} cut {}", name, threads, c.queries,
                            c.keys, c.heads, c.key_heads, c.width_k, c.width_v, cut);
            expect_near(run(cx, *table, c, start, cut, softmax), truth, 5e-6, what + (softmax ? "" : ", linear"), cx);
          }
        }
      }
    }
  }
}

// Perturb one document's last key and value: other documents and earlier queries keep their bits, in f32 and f64.
TEST(Attention, NothingLeaksFromLaterTokensOrOtherDocuments) {
  Context cx;
  const int64_t length = 100, border = 41;
  const Tensor start = cx.empty({1, length}, DType::i32);
  for (int64_t t = 0; t < length; ++t) start.data<int32_t>()[t] = t < border ? 0 : static_cast<int32_t>(border);
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor q = random_tensor(cx, {1, length, 4, 32}, dtype, 1);
    const Tensor k = random_tensor(cx, {1, length, 2, 32}, dtype, 2);
    const Tensor v = random_tensor(cx, {1, length, 2, 32}, dtype, 3);
    const auto run_with = [&](int64_t changed) {
      const Tensor k2 = k.clone(*cx.pool), v2 = v.clone(*cx.pool);
      if (changed >= 0)
        for (const Tensor& x : {k2, v2}) x.reshape({length, 64}).slice(changed, changed + 1).fill(1e4);
      Tape tape(cx, Tape::Mode::no_gradient);
      return attention(tape, Value(q), Value(k2), Value(v2), start, 0, {}).tensor().reshape({length, 128});
    };
    const Tensor before = run_with(-1), first = run_with(border - 1), second = run_with(70);
    EXPECT_TRUE(same_bits(before.slice(0, border - 1), first.slice(0, border - 1)));
    EXPECT_FALSE(same_bits(before.slice(border - 1, border), first.slice(border - 1, border)));
    EXPECT_TRUE(same_bits(before.slice(border, length), first.slice(border, length)));
    EXPECT_TRUE(same_bits(before.slice(0, 70), second.slice(0, 70)));
    EXPECT_FALSE(same_bits(before.slice(70, 71), second.slice(70, 71)));
  }
}

}  // namespace
}  // namespace og

// Ranges of dims, copied and added, against plain indexing: every dim, every type, empty ranges, threads.
#include "framework/ops/ranges.h"

#include <gtest/gtest.h>

#include "tests/tensors.h"

namespace og {
namespace {

// Element i of a tensor: value + i, exact in every type.
Tensor counting(Context& cx, const Shape& shape, DType dtype, double value) {
  const Tensor t = cx.empty(shape, DType::f64);
  for (int64_t i = 0; i < t.count(); ++i) t.data<double>()[i] = value + static_cast<double>(i);
  return t.cast(*cx.pool, dtype);
}

struct Case {
  int dim;
  int64_t to_begin, from_begin, count;
};

// to [2, 5, 3, 4] and from [2, 5, 3, 4], but in the dim: there 7 and 9.
TEST(Ranges, MoveWhatPlainIndexingMoves) {
  Context cx;
  for (const int threads : {1, 3}) {
    cx.stream.num_threads = threads;
    for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64})
      for (const Case& c : {Case{0, 2, 1, 3}, Case{1, 0, 4, 5}, Case{2, 6, 8, 1}, Case{-1, 1, 0, 6}, Case{3, 0, 2, 7},
                            Case{1, 7, 9, 0}})
        for (const Put put : {Put::write, Put::add}) {
          Shape to_shape{2, 5, 3, 4}, from_shape{2, 5, 3, 4};
          to_shape.set(c.dim, 7), from_shape.set(c.dim, 9);
          const Tensor from = counting(cx, from_shape, dtype, 1), to = counting(cx, to_shape, dtype, -500);
          const Tensor before = to.clone(*cx.pool);
          move_range(cx.stream, c.dim, to, c.to_begin, put, from, c.from_begin, c.count);
          const int dim = c.dim < 0 ? 4 + c.dim : c.dim;
          const int64_t inner = to_shape.count_from(dim + 1);
          for (int64_t i = 0; i < to.count(); ++i) {
            const int64_t outer = i / (7 * inner), place = i / inner % 7 - c.to_begin;
            double expected = before.at(i);
            if (0 <= place && place < c.count)
              expected =
                  (put == Put::add ? expected : 0) + from.at((outer * 9 + c.from_begin + place) * inner + i % inner);
            ASSERT_EQ(to.at(i), expected) << "dim " << c.dim << " element " << i << " " << name_of(dtype);
          }
        }
  }
}

TEST(Ranges, FillWhatPlainIndexingFills) {
  Context cx;
  for (const int threads : {1, 3}) {
    cx.stream.num_threads = threads;
    for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64})
      for (const Case& c : {Case{0, 2, 0, 3}, {1, 0, 0, 5}, {2, 6, 0, 1}, {-1, 1, 0, 6}, {1, 7, 0, 0}}) {
        Shape shape{2, 501, 3, 4};
        shape.set(c.dim, 7);
        const Tensor to = counting(cx, shape, dtype, -500), before = to.clone(*cx.pool);
        fill_range(cx.stream, c.dim, to, c.to_begin, c.count, 9);
        const int64_t inner = shape.count_from((c.dim < 0 ? 4 + c.dim : c.dim) + 1);
        for (int64_t i = 0; i < to.count(); ++i) {
          const int64_t place = i / inner % 7 - c.to_begin;
          ASSERT_EQ(to.at(i), 0 <= place && place < c.count ? 9 : before.at(i)) << "dim " << c.dim << " element " << i;
        }
      }
  }
  EXPECT_THROW(fill_range(cx.stream, 1, cx.zeros({2, 3, 4}, DType::f32), 2, 2, 0), Error);
}

// Long rows and many rows, cut over threads at places that are no borders of rows.
TEST(Ranges, ThreadsDivideLongRows) {
  Context cx;
  for (const Shape& shape : {Shape{3, 50001}, Shape{20011, 7}}) {
    const Tensor from = random_tensor(cx, shape, DType::f32, 1);
    Shape wide = shape;
    wide.set(1, shape[1] + 2);
    Tensor results[2];
    for (const int i : {0, 1}) {
      cx.stream.num_threads = i == 0 ? 1 : 7;
      results[i] = random_tensor(cx, wide, DType::f32, 2);
      move_range(cx.stream, 1, results[i], 1, Put::add, from, 0, shape[1]);
    }
    EXPECT_TRUE(same_bits(results[0], results[1]));
    EXPECT_TRUE(same_bits(copy_range(cx, 1, from, 0, shape[1]), from));
    move_into(cx.stream, results[0].reshape({wide.count()}), Put::write, results[1]);
    EXPECT_TRUE(same_bits(results[0], results[1]));
  }
}

TEST(Ranges, RefuseWhatDoesNotFit) {
  Context cx;
  const Tensor a = cx.zeros({2, 3, 4}, DType::f32), b = cx.zeros({2, 5, 4}, DType::f32);
  EXPECT_THROW(move_range(cx.stream, 1, a, 0, Put::write, b, 0, 4), Error);
  EXPECT_THROW(move_range(cx.stream, 1, a, 0, Put::write, b, 3, 3), Error);
  EXPECT_THROW(move_range(cx.stream, 0, a, 0, Put::write, b, 0, 1), Error);
  EXPECT_THROW(move_range(cx.stream, 3, a, 0, Put::write, b, 0, 1), Error);
  EXPECT_THROW(move_range(cx.stream, 1, a, 0, Put::write, cx.zeros({2, 3, 4}, DType::f64), 0, 1), Error);
}

}  // namespace
}  // namespace og

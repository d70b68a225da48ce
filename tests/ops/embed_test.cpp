// Rows of a table by id: against plain indexing, ids of other ranks, tokens that stand twice. Gradients:
// op_table_test.cpp.
#include "framework/kernels/embed.h"

#include <gtest/gtest.h>

#include "tests/tensors.h"

namespace og {
namespace {

struct Size {
  int64_t ids, rows, width;
};

// From -2 to two beyond the table's last.
Tensor some_ids(Context& cx, const Size& size, int64_t first_row) {
  const Tensor ids = cx.empty({size.ids}, DType::i32);
  for (int64_t i = 0; i < size.ids; ++i)
    ids.data<int32_t>()[i] = static_cast<int32_t>(first_row - 2 + i * 7 % (size.rows + 4));
  return ids;
}

template <class T>
void compare(const Size& size, int64_t first_row) {
  Context cx;
  const DType type = DTypeOf<T>::value;
  const Tensor ids = some_ids(cx, size, first_row), w = random_tensor(cx, {size.rows, size.width}, type, 1),
               dy = random_tensor(cx, {size.ids, size.width}, type, 2);
  // In the order of the ids.
  const Tensor y = cx.zeros({size.ids, size.width}, type), sums = cx.zeros({size.rows, size.width}, type),
               before = random_tensor(cx, {size.rows, size.width}, type, 3), grown = before.clone(*cx.pool);
  for (int64_t r = 0; r < size.ids; ++r) {
    const int64_t row = ids.data<int32_t>()[r] - first_row;
    if (row < 0 || row >= size.rows) continue;
    for (int64_t d = 0; d < size.width; ++d) {
      y.rows<T>()(r, d) = w.rows<T>()(row, d);
      sums.rows<T>()(row, d) += dy.rows<T>()(r, d);
      grown.rows<T>()(row, d) += dy.rows<T>()(r, d);
    }
  }
  for (const Backend backend : {Backend::ref, Backend::cpu})
    for (const int threads : {1, 3}) {
      const Stream stream{.backend = backend, .num_threads = threads};
      const EmbedKernels<T>& kernels = embed_kernels<T>(stream);
      const Tensor found = cx.empty(y.shape(), type), dw = cx.empty(w.shape(), type), more = before.clone(*cx.pool);
      kernels.forward(stream, found.rows<T>(), w.rows<const T>(), ids.flat<const int32_t>(), first_row);
      kernels.backward(stream, dw.rows<T>(), Put::write, dy.rows<const T>(), ids.flat<const int32_t>(), first_row);
      kernels.backward(stream, more.rows<T>(), Put::add, dy.rows<const T>(), ids.flat<const int32_t>(), first_row);
      EXPECT_TRUE(same_bits(found, y)) << size.ids << " ids, width " << size.width;
      EXPECT_TRUE(same_bits(dw, sums)) << size.ids << " ids, width " << size.width;
      EXPECT_TRUE(same_bits(more, grown)) << size.ids << " ids, width " << size.width;
    }
}

TEST(Embed, TakesRowsAndAddsThemBackInTheOrderOfTheIds) {
  for (const Size& size : {Size{1, 1, 1}, {7, 3, 5}, {0, 4, 3}, {900, 17, 131}, {33, 1000, 64}, {5, 0, 2}})
    for (const int64_t first_row : {0, 41}) {
      compare<float>(size, first_row);
      compare<double>(size, first_row);
    }
}

}  // namespace
}  // namespace og

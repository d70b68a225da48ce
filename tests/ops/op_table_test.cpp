// Every op on one rank (framework/bench/op_table.h): gradients against differences, also of a leaf that is used twice,
// no rows at all, and that the table has every op.
#include "framework/bench/op_table.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>

#include "framework/autograd/check.h"
#include "tests/files.h"

namespace og {
namespace {

class OpTable : public testing::TestWithParam<OpRow> {
 protected:
  // Rows of two documents, the second of which begins at token 3.
  SeqContext tokens(int64_t rows) {
    const Tensor starts = cx_.empty({rows, kSmallTokens.length}, DType::i32);
    for (int64_t i = 0; i < starts.count(); ++i) starts.data<int32_t>()[i] = i % kSmallTokens.length < 3 ? 0 : 3;
    return make_seq_context(*cx_.pool, *self_, rows, kSmallTokens.length, starts);
  }
  GradientCheck check(std::span<const Value> leaves,
                      const std::function<std::vector<Value>(std::span<const Value>)>& inputs) {
    const SeqContext seq = tokens(kSmallTokens.rows);
    const auto f = [&](Tape& tape, std::span<const Value> x) {
      return weighted_sum(tape, GetParam().run(tape, inputs(x), seq), 9);
    };
    return check_gradient(cx_, f, leaves);
  }
  Context cx_;
  std::unique_ptr<Comm> self_ = make_self_comm();
};

TEST_P(OpTable, GradientsMatchDifferences) {
  const auto found = check(leaves_of(cx_, GetParam(), false, DType::f64),
                           [](std::span<const Value> x) { return std::vector<Value>(x.begin(), x.end()); });
  EXPECT_LT(found.largest_error, 1e-8) << found.where;
}

TEST_P(OpTable, GradientsOfALeafThatStandsTwiceAddUp) {
  const auto& inputs = GetParam().inputs;
  const auto same = [&](const OpInput& i) { return i.small == inputs[0].small && i.place == inputs[0].place; };
  if (inputs.size() != 2 || !same(inputs[1])) return;
  const auto leaves = leaves_of(cx_, GetParam(), false, DType::f64);
  const auto found = check(std::span(leaves).first(1), [](std::span<const Value> x) {
    return std::vector<Value>{x[0], x[0]};
  });
  EXPECT_LT(found.largest_error, 1e-8) << found.where;
}

// An expert or a rank without tokens: results without rows, gradients of weights zero.
TEST_P(OpTable, NoRowsGiveNoRowsAndZeroGradients) {
  OpRow row = GetParam();
  if (row.inputs[0].is_weight) return;
  for (OpInput& input : row.inputs)
    if (!input.is_weight) input.small.set(0, 0);
  const auto leaves = leaves_of(cx_, row, false, DType::f32);
  Tape tape(cx_);
  const Value y = row.run(tape, leaves, tokens(0));
  tape.backward(weighted_sum(tape, y, 1));
  for (const Value& leaf : leaves) {
    ASSERT_TRUE(leaf.slot()->has_gradient());
    for (int64_t i = 0; i < leaf.shape().count(); ++i) EXPECT_EQ(leaf.slot()->gradient().at(i), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, OpTable, testing::ValuesIn(op_table()), [](const auto& row) {
  return std::regex_replace(row.param.name, std::regex("[^A-Za-z0-9]"), "_");
});

// What a header of framework/ops declares with a tape as its first parameter is an op.
TEST(OpTables, HaveEveryOp) {
  std::set<std::string> rows;
  for (const OpRow& row : op_table()) rows.insert(row.name.substr(0, row.name.find(' ')));
  const std::regex declared("\\b([a-z_0-9]+)\\(Tape& tape");
  int64_t found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(OG_SOURCE_DIR "/framework/ops")) {
    if (entry.path().extension() != ".h") continue;
    const std::string text = file_bytes(entry.path());
    for (std::sregex_iterator op(text.begin(), text.end(), declared), end; op != end; ++op, ++found)
      EXPECT_TRUE(rows.contains((*op)[1])) << (*op)[1] << " of " << entry.path() << " has no row in op_table.cpp";
  }
  EXPECT_GT(found, 30) << "declarations that the pattern finds";
}

}  // namespace
}  // namespace og

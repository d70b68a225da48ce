// Embedding, loss and logits: gradients against differences, any tensor degree against one rank, padding never
// predicted.
#include "parallel/layers/vocabulary.h"

#include <gtest/gtest.h>

#include "framework/autograd/check.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

const Placement kTokensVary{{Axis::data, Place::varying}, {Axis::sequence, Place::varying}};
constexpr int64_t kVocab = 13, kPadded = 16, kWidth = 6;

Tensor ids(Context& cx, const Shape& shape, uint64_t key, int64_t below, bool with_none) {
  const Tensor t = cx.empty(shape, DType::i32);
  for (int64_t i = 0; i < t.count(); ++i) {
    const auto draw = static_cast<int32_t>(random_below(key, static_cast<uint64_t>(i), static_cast<uint64_t>(below)));
    t.data<int32_t>()[i] = with_none && i % 5 == 2 ? -1 : draw;
  }
  return t;
}

Value whole_hidden(Context& cx, int64_t rows, DType dtype) {
  return Value::leaf(random_tensor(cx, {1, rows, kWidth}, dtype, 1),
                     {{Axis::data, Place::varying}, {Axis::sequence, Place::varying}});
}

Value part_of_weight(Context& cx, Mesh& mesh, DType dtype) {
  const int64_t part = kPadded / mesh.tensor().size(), first = mesh.tensor().rank() * part;
  return Value::leaf(
      random_tensor(cx, {kPadded, kWidth}, dtype, 2).slice(first, first + part).clone(*cx.pool),
      {{Axis::data, Place::replicated}, {Axis::sequence, Place::replicated}, {Axis::tensor, Place::varying}});
}

TEST(VocabularyLoss, GradientsMatchDifferences) {
  Context cx;
  const auto self = make_self_comm();
  Mesh mesh(*self, {});
  const Tensor targets = ids(cx, {1, 7}, 3, kVocab, true);
  const Value leaves[] = {whole_hidden(cx, 7, DType::f64), part_of_weight(cx, mesh, DType::f64)};
  const auto check = check_gradient(
      cx,
      [&](Tape& t, std::span<const Value> x) { return vocabulary_loss(t, mesh, x[0], x[1], targets, kVocab, nullptr); },
      leaves);
  EXPECT_LT(check.largest_error, 1e-7) << check.where;
}

TEST(VocabularyLoss, PaddingHasNoProbabilityAndTokenLossesSumToTheLoss) {
  Context cx;
  const auto self = make_self_comm();
  Mesh mesh(*self, {});
  Tape tape(cx);
  const Value weight = part_of_weight(cx, mesh, DType::f64);
  Tensor losses;
  const Tensor targets = ids(cx, {1, 1100}, 3, kVocab, true);
  const Value loss = vocabulary_loss(tape, mesh, whole_hidden(cx, 1100, DType::f64), weight, targets, kVocab, &losses);
  double sum = 0;
  for (int64_t i = 0; i < 1100; ++i) {
    sum += losses.at(i);
    EXPECT_EQ(losses.at(i) == 0, targets.at(i) < 0);
  }
  EXPECT_NEAR(sum, loss.tensor().at(0), 1e-9 * sum);
  tape.backward(loss);
  for (int64_t i = kVocab * kWidth; i < kPadded * kWidth; ++i) EXPECT_EQ(weight.slot()->gradient().at(i), 0);
  // Against the definition, by the logits.
  Tape quiet(cx, Tape::Mode::no_gradient);
  const Value rows = Value(random_tensor(cx, {1, 1100, kWidth}, DType::f64, 1).reshape({1100, kWidth}), kTokensVary);
  const Tensor logits = vocabulary_logits(quiet, mesh, rows, Value(weight.tensor(), weight.place()), kVocab);
  ASSERT_EQ(logits.shape(), (Shape{1100, kVocab}));
  double p = 0;
  for (int64_t v = 0; v < kVocab; ++v) p += std::exp(logits.at(v));
  EXPECT_NEAR(losses.at(0), std::log(p) - logits.at(static_cast<int64_t>(targets.at(0))), 1e-12);
}

TEST(VocabularyLoss, NoRowsGiveZeroLossAndZeroGradients) {
  Context cx;
  const auto self = make_self_comm();
  Mesh mesh(*self, {});
  Tape tape(cx);
  const Value weight = part_of_weight(cx, mesh, DType::f32);
  const Value loss = vocabulary_loss(tape, mesh, whole_hidden(cx, 0, DType::f32), weight, cx.empty({1, 0}, DType::i32),
                                     kVocab, nullptr);
  EXPECT_EQ(loss.tensor().at(0), 0);
  tape.backward(loss);
  for (int64_t i = 0; i < kPadded * kWidth; ++i) EXPECT_EQ(weight.slot()->gradient().at(i), 0);
}

TEST(Vocabulary, AnyTensorDegreeEqualsOneRank) {
  struct Result {
    double loss;
    Tensor dx, dw, dtable, logits;
  };
  const auto run = [](Comm& comm) {
    Context cx;
    Mesh mesh(comm, {.tensor = comm.size()});
    Tape tape(cx);
    const Value hidden = whole_hidden(cx, 9, DType::f64), weight = part_of_weight(cx, mesh, DType::f64),
                table = part_of_weight(cx, mesh, DType::f64);
    const Value x = vocabulary_embedding(tape, mesh, table, ids(cx, {1, 9}, 4, kVocab, false));
    const Value loss = vocabulary_loss(tape, mesh, x, weight, ids(cx, {1, 9}, 3, kVocab, true), kVocab, nullptr);
    tape.backward(loss);
    Tape quiet(cx, Tape::Mode::no_gradient);
    const Value rows(hidden.tensor().reshape({9, kWidth}), hidden.place());
    return Result{loss.tensor().at(0), x.tensor(), weight.slot()->gradient(), table.slot()->gradient(),
                  vocabulary_logits(quiet, mesh, rows, Value(weight.tensor(), weight.place()), kVocab)};
  };
  Result one;
  world(1, [&](Comm& comm) { one = run(comm); });
  for (int ranks : {2, 4, 8}) {
    world(ranks, [&](Comm& comm) {
      const Result r = run(comm);
      const int64_t part = kPadded / ranks, first = comm.rank() * part;
      EXPECT_NEAR(r.loss, one.loss, 1e-12 * one.loss);
      EXPECT_LT(distance(r.dx, one.dx), 1e-12);
      EXPECT_LT(distance(r.dw, one.dw.slice(first, first + part)), 1e-12);
      EXPECT_LT(distance(r.dtable, one.dtable.slice(first, first + part)), 1e-12);
      EXPECT_LT(distance(r.logits, one.logits), 1e-12);
    });
  }
}

}  // namespace
}  // namespace og

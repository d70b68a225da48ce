// The tape: write-or-add slots, readiness of leaves, placements, recompute.
#include <gtest/gtest.h>

#include "framework/autograd/check.h"
#include "framework/autograd/recompute.h"
#include "framework/ops/norm.h"
#include "framework/ops/pointwise.h"
#include "framework/ops/shape.h"
#include "tests/tensors.h"

namespace og {
namespace {

const Placement kNone;

TEST(Tape, SumsContributionsOfAllUses) {
  Context cx;
  const Value x = Value::leaf(random_tensor(cx, {3, 4}, DType::f64, 1));
  const Value w = Value::leaf(random_tensor(cx, {4}, DType::f64, 2));
  const Value leaves[] = {x, w};
  // w is used twice, x three times.
  const auto f = [](Tape& t, std::span<const Value> v) {
    return weighted_sum(t, rms_norm(t, rms_norm(t, v[0], v[1], 1e-5), v[1], 1e-5), 3);
  };
  const auto check = check_gradient(cx, f, leaves);
  EXPECT_LT(check.largest_error, 1e-7) << check.where;
}

TEST(Tape, TellsALeafIsReadyAfterItsLastUse) {
  Context cx;
  const Value x = Value::leaf(random_tensor(cx, {2, 4}, DType::f64, 1), kNone, "x");
  const Value w = Value::leaf(random_tensor(cx, {4}, DType::f64, 2), kNone, "w");
  const Value unused = Value::leaf(random_tensor(cx, {4}, DType::f64, 3), kNone, "unused");
  Tape tape(cx);
  std::vector<std::string> ready;
  tape.on_leaf_ready = [&](Slot& slot) { ready.push_back(slot.label); };
  const Value once = rms_norm(tape, x, w, 1e-5);
  rms_norm(tape, x, unused, 1e-5);  // a use whose output nobody reads
  tape.backward(weighted_sum(tape, rms_norm(tape, once, w, 1e-5), 1));
  EXPECT_EQ(ready, (std::vector<std::string>{"unused", "x", "w"}));
  EXPECT_TRUE(unused.slot()->has_gradient());  // zeros, so that a reduction has something to send
  EXPECT_EQ(unused.slot()->gradient().at(2), 0);
}

// A reshape hands its gradient's memory on, whether it is the first use that is walked, a later one, or a leaf's.
TEST(Tape, ReshapesSumWithOtherUses) {
  Context cx;
  const Value leaves[] = {Value::leaf(random_tensor(cx, {3, 4}, DType::f64, 1))};
  for (const bool reshaped_first : {true, false}) {
    const auto f = [&](Tape& t, std::span<const Value> v) {
      const Value y = apply(t, Unary::silu, v[0]);
      const Value flat = reshape(t, y, {12}), again = reshape(t, flat, {2, 6}), leaf = reshape(t, v[0], {12});
      const Value direct = weighted_sum(t, apply(t, Unary::silu, y), 1);
      const Value moved = add(t, weighted_sum(t, again, 2), weighted_sum(t, add(t, flat, leaf), 3));
      return reshaped_first ? add(t, direct, moved) : add(t, moved, direct);
    };
    const auto check = check_gradient(cx, f, leaves);
    EXPECT_LT(check.largest_error, 1e-7) << check.where;
  }
}

TEST(Slot, TakesAGradientOnceAndNoneForALeaf) {
  Context cx;
  const Tensor gradient = random_tensor(cx, {2, 6}, DType::f32, 1);
  Slot slot({3, 4}, DType::f32, false), leaf({3, 4}, DType::f32, true);
  EXPECT_TRUE(slot.take(gradient));
  EXPECT_EQ(slot.gradient().raw(), gradient.raw()) << "memory, not a copy";
  EXPECT_EQ(slot.gradient().shape(), Shape({3, 4}));
  EXPECT_FALSE(slot.take(gradient)) << "there is one, to which others add";
  EXPECT_EQ(slot.open(cx).put, Put::add);
  EXPECT_FALSE(leaf.take(gradient)) << "a leaf keeps its memory";
  EXPECT_FALSE(leaf.has_gradient());
}

TEST(Tape, RecordsNothingWithoutGradients) {
  Context cx;
  Tape tape(cx, Tape::Mode::no_gradient);
  const Value x = Value::leaf(random_tensor(cx, {2, 4}, DType::f32, 1));
  const Value w = Value::leaf(random_tensor(cx, {4}, DType::f32, 2));
  EXPECT_FALSE(rms_norm(tape, x, w, 1e-5).wants_gradient());
  EXPECT_EQ(tape.size(), 0U);
}

TEST(Recompute, GivesTheSameBitsAndGradientsAndKeepsNothing) {
  Context cx;
  const Value x = Value::leaf(random_tensor(cx, {3, 8}, DType::f64, 1));
  const Value w = Value::leaf(random_tensor(cx, {8}, DType::f64, 2));
  const Region region = [&](Tape& t, const Value& input) {
    return std::vector<Value>{rms_norm(t, rms_norm(t, input, w, 1e-5), w, 1e-5)};
  };
  Tensor outputs[2], dx[2], dw[2];
  for (int again : {0, 1}) {
    Tape tape(cx);
    int ready = 0;
    tape.on_leaf_ready = [&](Slot& slot) { ready += &slot == w.slot().get(); };
    const Value params[] = {w};
    const Value y = again ? recompute(tape, region, x, params)[0] : region(tape, x)[0];
    EXPECT_EQ(tape.size(), again ? 1U : 2U);
    outputs[again] = y.tensor().clone(*cx.pool);
    tape.backward(weighted_sum(tape, y, 5));
    dx[again] = x.slot()->gradient().clone(*cx.pool);
    dw[again] = w.slot()->gradient().clone(*cx.pool);
    x.slot()->clear();
    w.slot()->clear();
    EXPECT_EQ(ready, 1);
  }
  EXPECT_TRUE(same_bits(outputs[0], outputs[1]));
  EXPECT_TRUE(same_bits(dx[0], dx[1]));
  EXPECT_TRUE(same_bits(dw[0], dw[1]));
}

TEST(Pins, ReplayWhatWasKeptInOrderAndNoMore) {
  Context cx;
  Pins pins;
  pins.keep(Tensor::full(*cx.pool, {1}, DType::f32, 1));
  pins.keep(Tensor::full(*cx.pool, {1}, DType::f32, 2));
  pins.rewind();
  EXPECT_EQ(pins.take().at(0), 1);
  EXPECT_EQ(pins.take().at(0), 2);
  EXPECT_THROW(pins.take(), Error);
}

TEST(Placement, MixesByTheTable) {
  const auto on_tensor = [](Place p) { return Placement{{Axis::tensor, p}}; };
  const Placement r = on_tensor(Place::replicated), v = on_tensor(Place::varying), i = on_tensor(Place::invariant),
                  p = on_tensor(Place::partial);
  EXPECT_EQ(place_elementwise("op", {r, v}), v);
  EXPECT_EQ(place_elementwise("op", {r, r}), r);
  EXPECT_THROW(place_elementwise("op", {i, v}), Error);
  EXPECT_THROW(place_elementwise("op", {i, r}), Error);
  EXPECT_THROW(place_elementwise("op", {p, p}), Error);
  EXPECT_EQ(place_sum("op", {p, p}), p);
  EXPECT_THROW(place_sum("op", {p, r}), Error);
  EXPECT_EQ(r.gradient(), p);
  EXPECT_EQ(p.gradient(), r);
  EXPECT_EQ(v.gradient(), v);
  EXPECT_EQ(i.gradient(), i);
}

}  // namespace
}  // namespace og

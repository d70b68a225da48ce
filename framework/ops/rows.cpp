#include "framework/ops/rows.h"

#include "framework/ops/ranges.h"

namespace og {

namespace {

struct ConcatRows final : Function {
  int64_t first_length = 0;  // rows of the first input

  const char* name() const override { return "concat_rows"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    for (size_t i = 0; i < 2; ++i) {
      if (!input(i)) continue;
      const auto [dx, put] = input(i)->open(cx);
      move_range(cx.stream, 1, dx, 0, put, dy, i == 0 ? 0 : first_length, dx.size(1));
    }
  }
};

struct OwnSlice final : Function {
  int64_t begin = 0;

  const char* name() const override { return "own_slice"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const auto [dx, put] = input(0)->open(cx);
    if (put == Put::write) dx.fill(0);
    move_range(cx.stream, 0, dx, begin, Put::add, dy, 0, dy.size(0));
  }
};

}  // namespace

Value concat_rows(Tape& tape, const Value& a, const Value& b) {
  OG_CHECK(a.rank() >= 2 && a.rank() == b.rank() && a.size(0) == b.size(0) && a.dtype() == b.dtype() &&
               a.shape().count_from(2) == b.shape().count_from(2),
           "concat_rows: {} and {}", a.shape().str(), b.shape().str());
  Shape shape = b.shape();
  shape.set(1, a.size(1) + b.size(1));
  Value y = tape.output(shape, b.dtype(), place_elementwise("concat_rows", {a.place(), b.place()}), {a, b});
  move_range(tape.stream(), 1, y.tensor(), 0, Put::write, a.tensor(), 0, a.size(1));
  move_range(tape.stream(), 1, y.tensor(), a.size(1), Put::write, b.tensor(), 0, b.size(1));
  auto function = std::make_unique<ConcatRows>();
  function->first_length = a.size(1);
  tape.record(std::move(function), {a, b}, {y});
  return y;
}

Value own_slice(Tape& tape, const Value& x, int64_t begin, int64_t end, Axis axis) {
  OG_CHECK(x.place()[axis] == Place::replicated, "own_slice: expected a replicated value on the {} axis, found {}",
           name_of(axis), name_of(x.place()[axis]));
  Value y = tape.output_of(x.tensor().slice(begin, end), x.place().with(axis, Place::varying), {x});
  auto function = std::make_unique<OwnSlice>();
  function->begin = begin;
  tape.record(std::move(function), {x}, {y});
  return y;
}

}  // namespace og

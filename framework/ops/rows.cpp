#include "framework/ops/rows.h"

#include <cstring>

namespace og {

namespace {

// f(element offset in a [B, part, ..], element offset in the whole [B, whole, ..], elements) for each of B rows.
template <class F>
void for_each_row(const Shape& part, int64_t whole, int64_t begin, F&& f) {
  const int64_t inner = part.count_from(2);
  for (int64_t b = 0; b < part[0]; ++b) f(b * part[1] * inner, (b * whole + begin) * inner, part[1] * inner);
}

struct ConcatRows final : Function {
  Shape shapes[2];

  const char* name() const override { return "concat_rows"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    for (size_t i = 0; i < 2; ++i) {
      if (!input(i)) continue;
      const auto [dx, put] = input(i)->open(cx);
      visit_real(dy.dtype(), [&, dx = dx, put = put](auto zero) {
        using T = decltype(zero);
        for_each_row(shapes[i], dy.size(1), i == 0 ? 0 : shapes[0][1], [&](int64_t to, int64_t from, int64_t count) {
          T* out = dx.template data<T>() + to;
          const T* in = dy.data<const T>() + from;
          for (int64_t k = 0; k < count; ++k) out[k] = put == Put::add ? out[k] + in[k] : in[k];
        });
      });
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
    const Tensor target = dx.slice(begin, begin + dy.size(0));
    visit_real(dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for (int64_t i = 0; i < dy.count(); ++i) target.data<T>()[i] += dy.data<const T>()[i];
    });
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
  auto function = std::make_unique<ConcatRows>();
  const Value* parts[] = {&a, &b};
  for (size_t i = 0; i < 2; ++i) {
    function->shapes[i] = parts[i]->shape();
    const int64_t unit = size_of(y.dtype());
    for_each_row(parts[i]->shape(), shape[1], i == 0 ? 0 : a.size(1), [&](int64_t from, int64_t to, int64_t count) {
      if (count > 0)
        std::memcpy(y.tensor().raw() + to * unit, parts[i]->tensor().raw() + from * unit,
                    static_cast<size_t>(count * unit));
    });
  }
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

#include "framework/ops/shape.h"

#include <algorithm>
#include <numeric>

#include "framework/kernels/pointwise.h"
#include "framework/ops/ranges.h"

namespace og {

namespace {

Shape with_last(const Shape& shape, int64_t last) {
  Shape s = shape;
  s.set(-1, last);
  return s;
}

struct Reshape final : Function {
  const char* name() const override { return "reshape"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    if (input(0)->take(dy)) return;
    auto [dx, put] = input(0)->open(cx);
    move_into(cx.stream, dx, put, dy);
  }
};

struct Split final : Function {
  std::vector<int64_t> sizes;
  const char* name() const override { return "split_last"; }
  void backward(Context& cx) override {
    auto [dx, put] = input(0)->open(cx);
    int64_t from = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      move_range(cx.stream, -1, dx, from, put, gradient(cx, i), 0, sizes[i]);
      from += sizes[i];
    }
  }
};

struct Concat final : Function {
  std::vector<int64_t> sizes;
  const char* name() const override { return "concat_last"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    int64_t from = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (input(i)) {
        auto [dx, put] = input(i)->open(cx);
        move_range(cx.stream, -1, dx, 0, put, dy, from, sizes[i]);
      }
      from += sizes[i];
    }
  }
};

// Rows of width `width`: each input row stands `n` times in the output.
struct Repeat final : Function {
  int64_t n = 1, width = 1;
  const char* name() const override { return "repeat"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(dy.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      const int64_t rows = dx.count() / std::max<int64_t>(1, width);
      pointwise_kernels<T>(cx.stream).sum_repeats(cx.stream, dx.reshape({rows, width}).template rows<T>(), put,
                                                  dy.reshape({rows * n, width}).rows<const T>(), n);
    });
  }
};

Value repeat(Tape& tape, const Value& x, const Shape& shape, int64_t n, int64_t width) {
  Value y = tape.output(shape, x.dtype(), x.place(), {x});
  const int64_t rows = x.shape().count() / std::max<int64_t>(1, width);
  const Tensor from = x.tensor().reshape({rows, 1, width}), to = y.tensor().reshape({rows, n, width});
  for (int64_t i = 0; i < n; ++i) move_range(tape.stream(), 1, to, i, Put::write, from, 0, 1);
  auto function = std::make_unique<Repeat>();
  function->n = n;
  function->width = width;
  tape.record(std::move(function), {x}, {y});
  return y;
}

struct SliceHeads final : Function {
  int64_t first = 0, count = 0;
  const char* name() const override { return "slice_heads"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    if (put == Put::write) dx.fill(0);
    move_range(cx.stream, 2, dx, first, Put::add, dy, 0, count);
  }
};

struct AppendOnes final : Function {
  const char* name() const override { return "append_ones"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    move_range(cx.stream, -1, dx, 0, put, dy, 0, dx.size(-1));
  }
};

}  // namespace

Value reshape(Tape& tape, const Value& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Value y = tape.output_of(x.tensor().reshape(shape), x.place(), {x});
  tape.record(std::make_unique<Reshape>(), {x}, {y});
  return y;
}

std::vector<Value> split_last(Tape& tape, const Value& x, const std::vector<int64_t>& sizes) {
  OG_CHECK(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) == x.size(-1), "split_last: sizes do not sum to {}",
           x.size(-1));
  std::vector<Value> parts;
  int64_t from = 0;
  for (int64_t size : sizes) {
    parts.push_back(tape.output(with_last(x.shape(), size), x.dtype(), x.place(), {x}));
    move_range(tape.stream(), -1, parts.back().tensor(), 0, Put::write, x.tensor(), from, size);
    from += size;
  }
  auto function = std::make_unique<Split>();
  function->sizes = sizes;
  const Value inputs[] = {x};
  tape.record(std::move(function), inputs, parts);
  return parts;
}

Value concat_last(Tape& tape, const std::vector<Value>& parts) {
  OG_CHECK(!parts.empty(), "concat_last of nothing");
  int64_t width = 0;
  auto function = std::make_unique<Concat>();
  for (const Value& p : parts) {
    OG_CHECK(with_last(p.shape(), 0) == with_last(parts[0].shape(), 0) && p.place() == parts[0].place(),
             "concat_last: {} beside {}", p.shape().str(), parts[0].shape().str());
    function->sizes.push_back(p.size(-1));
    width += p.size(-1);
  }
  Value y = tape.output(with_last(parts[0].shape(), width), parts[0].dtype(), parts[0].place(), parts);
  int64_t to = 0;
  for (const Value& p : parts) {
    move_range(tape.stream(), -1, y.tensor(), to, Put::write, p.tensor(), 0, p.size(-1));
    to += p.size(-1);
  }
  const Value outputs[] = {y};
  tape.record(std::move(function), parts, outputs);
  return y;
}

Value repeat_heads(Tape& tape, const Value& x, int64_t n) {
  OG_CHECK(x.rank() == 4 && n >= 1, "repeat_heads: {} times {}", x.shape().str(), n);
  return n == 1 ? x : repeat(tape, x, {x.size(0), x.size(1), x.size(2) * n, x.size(3)}, n, x.size(3));
}

Value slice_heads(Tape& tape, const Value& x, int64_t first, int64_t count) {
  OG_CHECK(x.rank() == 4 && first >= 0 && first + count <= x.size(2), "slice_heads: [{}, {}) of {}", first,
           first + count, x.shape().str());
  Value y = tape.output({x.size(0), x.size(1), count, x.size(3)}, x.dtype(), x.place(), {x});
  move_range(tape.stream(), 2, y.tensor(), 0, Put::write, x.tensor(), first, count);
  auto function = std::make_unique<SliceHeads>();
  function->first = first;
  function->count = count;
  tape.record(std::move(function), {x}, {y});
  return y;
}

Value repeat_elements(Tape& tape, const Value& x, int64_t n) {
  OG_CHECK(x.rank() == 1, "repeat_elements of {}", x.shape().str());
  return repeat(tape, x, {x.size(0) * n}, n, 1);
}

Value append_ones(Tape& tape, const Value& x) {
  const int64_t width = x.size(-1);
  Value y = tape.output(with_last(x.shape(), width + 1), x.dtype(), x.place(), {x});
  move_range(tape.stream(), -1, y.tensor(), 0, Put::write, x.tensor(), 0, width);
  fill_range(tape.stream(), -1, y.tensor(), width, 1, 1);
  tape.record(std::make_unique<AppendOnes>(), {x}, {y});
  return y;
}

}  // namespace og

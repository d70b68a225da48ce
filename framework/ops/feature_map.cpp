#include "framework/ops/feature_map.h"

#include <algorithm>
#include <cmath>

#include "framework/kernels/matmul.h"
#include "framework/ops/pointwise.h"
#include "framework/ops/ranges.h"
#include "framework/ops/shape.h"

namespace og {

namespace {

struct SoftmaxLast final : Function {
  Tensor y;

  const char* name() const override { return "softmax_last"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(y.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      const auto p = y.rows<const T>(), g = dy.rows<const T>();
      const auto out = dx.template rows<T>();
      cx.stream.parallel_for(p.shape[0], 64, [&, put = put](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          T dot = 0;
          for (int64_t d = 0; d < p.shape[1]; ++d) dot += p(r, d) * g(r, d);
          for (int64_t d = 0; d < p.shape[1]; ++d) {
            const T value = p(r, d) * (g(r, d) - dot);
            store(out(r, d), put, value);
          }
        }
      });
    });
  }
};

struct HeadLinear final : Function {
  Tensor x, w;

  const char* name() const override { return "head_linear"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    Slot::Target dx{{}, Put::write}, dw{{}, Put::write};
    if (input(0)) dx = input(0)->open(cx);
    if (input(1)) dw = input(1)->open(cx);
    const int64_t rows = x.size(0) * x.size(1), in = w.size(2), out = w.size(1);
    visit_real(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const Tensor ds = cx.empty({rows, in}, x.dtype());
      for (int64_t h = 0; h < w.size(0); ++h) {
        const Tensor wh = w.slice(h, h + 1).reshape({out, in});
        const Tensor gs = copy_range(cx, 2, dy, h, h + 1).reshape({rows, out});
        if (dx.tensor.defined()) {
          matmul<T>(cx.stream, Transpose::nn, ds.rows<T>(), Put::write, gs.rows<const T>(), wh.rows<const T>());
          move_range(cx.stream, 2, dx.tensor, h, dx.put, ds.reshape({x.size(0), x.size(1), 1, in}), 0, 1);
        }
        if (dw.tensor.defined()) {
          const Tensor xs = copy_range(cx, 2, x, h, h + 1).reshape({rows, in});
          matmul<T>(cx.stream, Transpose::tn, dw.tensor.slice(h, h + 1).reshape({out, in}).template rows<T>(), dw.put,
                    gs.rows<const T>(), xs.rows<const T>());
        }
      }
    });
  }
};

}  // namespace

std::vector<std::string> feature_map_names() {
  return {"identity", "elu_plus_one", "relu", "squared_relu", "softmax", "hedgehog"};
}

FeatureMap feature_map_of(const std::string& name) {
  const auto names = feature_map_names();
  const auto found = std::find(names.begin(), names.end(), name);
  OG_CHECK(found != names.end(), "unknown feature map {}", name);
  return static_cast<FeatureMap>(found - names.begin());
}

Value softmax_last(Tape& tape, const Value& x) {
  Value y = tape.output(x.shape(), x.dtype(), place_elementwise("softmax_last", {x.place()}), {x});
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto in = x.tensor().rows<const T>();
    const auto out = y.tensor().template rows<T>();
    tape.stream().parallel_for(in.shape[0], 64, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* row = &in(r);
        const T most = *std::max_element(row, row + in.shape[1]);
        T sum = 0;
        for (int64_t d = 0; d < in.shape[1]; ++d) sum += out(r, d) = std::exp(row[d] - most);
        for (int64_t d = 0; d < in.shape[1]; ++d) out(r, d) /= sum;
      }
    });
  });
  auto function = std::make_unique<SoftmaxLast>();
  function->y = y.tensor();
  tape.record(std::move(function), {x}, {y});
  return y;
}

Value head_linear(Tape& tape, const Value& x_BTHI, const Value& w_HOI) {
  OG_CHECK(
      x_BTHI.rank() == 4 && w_HOI.rank() == 3 && x_BTHI.size(2) == w_HOI.size(0) && x_BTHI.size(3) == w_HOI.size(2),
      "head_linear: weight {} for x {}", w_HOI.shape().str(), x_BTHI.shape().str());
  Context& cx = tape.context();
  const int64_t rows = x_BTHI.size(0) * x_BTHI.size(1), in = w_HOI.size(2), out = w_HOI.size(1);
  Value y = tape.output({x_BTHI.size(0), x_BTHI.size(1), x_BTHI.size(2), out}, x_BTHI.dtype(),
                        place_elementwise("head_linear", {x_BTHI.place(), w_HOI.place()}), {x_BTHI, w_HOI});
  visit_real(x_BTHI.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Tensor ys = cx.empty({rows, out}, x_BTHI.dtype());
    for (int64_t h = 0; h < w_HOI.size(0); ++h) {
      const Tensor xs = copy_range(cx, 2, x_BTHI.tensor(), h, h + 1).reshape({rows, in});
      matmul<T>(cx.stream, Transpose::nt, ys.rows<T>(), Put::write, xs.rows<const T>(),
                w_HOI.tensor().slice(h, h + 1).reshape({out, in}).template rows<const T>());
      move_range(cx.stream, 2, y.tensor(), h, Put::write, ys.reshape({x_BTHI.size(0), x_BTHI.size(1), 1, out}), 0, 1);
    }
  });
  auto function = std::make_unique<HeadLinear>();
  function->x = x_BTHI.tensor();
  function->w = w_HOI.tensor();
  tape.record(std::move(function), {x_BTHI, w_HOI}, {y});
  return y;
}

Value feature_map(Tape& tape, FeatureMap map, const Value& x_BTHD, const Value& w_HDD) {
  switch (map) {
    case FeatureMap::identity:
      return x_BTHD;
    case FeatureMap::elu_plus_one:
      return apply(tape, Unary::elu_plus_one, x_BTHD);
    case FeatureMap::relu:
      return apply(tape, Unary::relu, x_BTHD);
    case FeatureMap::squared_relu:
      return apply(tape, Unary::squared_relu, x_BTHD);
    case FeatureMap::softmax:
      return softmax_last(tape, x_BTHD);
    case FeatureMap::hedgehog: {
      const Value y = head_linear(tape, x_BTHD, w_HDD);
      return concat_last(tape, {softmax_last(tape, y), softmax_last(tape, scale(tape, y, -1))});
    }
  }
  OG_CHECK(false, "unknown feature map");
}

}  // namespace og

#include "framework/ops/feature_map.h"

#include <algorithm>

#include "framework/kernels/matmul.h"
#include "framework/kernels/norm.h"
#include "framework/ops/pointwise.h"
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
      norm_kernels<T>(cx.stream).softmax_backward(cx.stream, dx.template rows<T>(), put, dy.rows<const T>(),
                                                  y.rows<const T>());
    });
  }
};

// x [B, T, H, D] as H matrices [B T, D].
template <class T>
MatrixBatch<T> by_head(const Tensor& x) {
  const int64_t width = x.size(3);
  return {{x.flat<T>().data, x.size(0) * x.size(1), width, x.size(2) * width}, width};
}

template <class T>
MatrixBatch<T> matrices(const Tensor& w_HOI) {
  const int64_t rows = w_HOI.size(1), columns = w_HOI.size(2);
  return {{w_HOI.flat<T>().data, rows, columns, columns}, rows * columns};
}

struct HeadLinear final : Function {
  Tensor x, w;

  const char* name() const override { return "head_linear"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    visit_real(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const auto& kernels = matmul_kernels<T>(cx.stream);
      if (input(0)) {
        const auto [dx, put] = input(0)->open(cx);
        kernels.batched(cx.stream, Transpose::nn, w.size(0), by_head<T>(dx), put, by_head<const T>(dy),
                        matrices<const T>(w));
      }
      if (input(1)) {
        const auto [dw, put] = input(1)->open(cx);
        kernels.batched(cx.stream, Transpose::tn, w.size(0), matrices<T>(dw), put, by_head<const T>(dy),
                        by_head<const T>(x));
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
    norm_kernels<T>(tape.stream())
        .softmax_forward(tape.stream(), y.tensor().template rows<T>(), x.tensor().rows<const T>());
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
  Value y = tape.output({x_BTHI.size(0), x_BTHI.size(1), x_BTHI.size(2), w_HOI.size(1)}, x_BTHI.dtype(),
                        place_elementwise("head_linear", {x_BTHI.place(), w_HOI.place()}), {x_BTHI, w_HOI});
  visit_real(x_BTHI.dtype(), [&](auto zero) {
    using T = decltype(zero);
    matmul_kernels<T>(tape.stream())
        .batched(tape.stream(), Transpose::nt, w_HOI.size(0), by_head<T>(y.tensor()), Put::write,
                 by_head<const T>(x_BTHI.tensor()), matrices<const T>(w_HOI.tensor()));
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

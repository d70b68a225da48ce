#include "framework/ops/linear.h"

#include "framework/kernels/matmul.h"

namespace og {

namespace {

template <class T>
void product(Context& cx, Transpose transpose, View<T, 2> c, Put put, View<const T, 2> a, View<const T, 2> b,
             bool exact) {
  Stream stream = cx.stream;
  if (exact && stream.products == Products::bf16) stream.products = Products::exact;
  const int64_t inner = transpose == Transpose::tn ? a.shape[0] : a.shape[1];
  cx.profile.count_product(2.0 * static_cast<double>(c.shape[0] * c.shape[1] * inner));
  matmul_kernels<T>(stream).multiply(stream, transpose, c, put, a, b);
}

struct Linear final : Function {
  Tensor x, w;
  bool exact = false;

  const char* name() const override { return "linear"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const Profile::Scope scope(&cx.profile, Part::products);
    visit_real(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (input(0)) {
        auto [dx, put] = input(0)->open(cx);
        product<T>(cx, Transpose::nn, dx.template rows<T>(), put, dy.rows<const T>(), w.rows<const T>(), exact);
      }
      if (input(1)) {
        auto [dw, put] = input(1)->open(cx);
        product<T>(cx, Transpose::tn, dw.template rows<T>(), put, dy.rows<const T>(), x.rows<const T>(), exact);
      }
    });
  }
};

Value run_linear(Tape& tape, const Value& x, const Value& w, const Placement& place, bool exact) {
  OG_CHECK(w.rank() == 2 && x.rank() >= 1 && x.size(-1) == w.size(1) && x.dtype() == w.dtype(),
           "linear: weight {} {} for x {} {}", name_of(w.dtype()), w.shape().str(), name_of(x.dtype()),
           x.shape().str());
  Context& cx = tape.context();
  const Profile::Scope scope(&cx.profile, Part::products);
  Shape shape = x.shape();
  shape.set(-1, w.size(0));
  Value y = tape.output(shape, x.dtype(), place, {x, w});
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    product<T>(cx, Transpose::nt, y.tensor().template rows<T>(), Put::write, x.tensor().rows<const T>(),
               w.tensor().rows<const T>(), exact);
  });
  auto function = std::make_unique<Linear>();
  function->x = x.tensor();
  function->w = w.tensor();
  function->exact = exact;
  tape.record(std::move(function), {x, w}, {y});
  return y;
}

// All groups together.
double flops(const Tensor& x, const Tensor& w) { return 2.0 * static_cast<double>(x.count() * w.size(1)); }

struct GroupedLinear final : Function {
  Tensor x, w;
  Tensor row_begin;

  const char* name() const override { return "grouped_linear"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const Profile::Scope scope(&cx.profile, Part::products);
    Slot::Target dx{{}, Put::write}, dw{{}, Put::write};
    if (input(0)) dx = input(0)->open(cx);
    if (input(1)) dw = input(1)->open(cx);
    visit_real(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const auto& kernels = matmul_kernels<T>(cx.stream);
      if (dx.tensor.defined())
        kernels.grouped_rows(cx.stream, Transpose::nn, dx.tensor.template rows<T>(), dx.put, dy.rows<const T>(),
                             w.view<const T, 3>(), row_begin.view<const int64_t, 1>());
      if (dw.tensor.defined())
        kernels.grouped_weights(cx.stream, dw.tensor.template view<T, 3>(), dw.put, dy.rows<const T>(),
                                x.rows<const T>(), row_begin.view<const int64_t, 1>());
      const int products = (dx.tensor.defined() ? 1 : 0) + (dw.tensor.defined() ? 1 : 0);
      cx.profile.count_product(products * flops(x, w));
    });
  }
};

}  // namespace

Value linear(Tape& tape, const Value& x, const Value& w, bool exact) {
  return run_linear(tape, x, w, place_elementwise("linear", {x.place(), w.place()}), exact);
}

Value linear_split(Tape& tape, const Value& x, const Value& w, Axis split) {
  OG_CHECK(x.place()[split] == Place::varying && w.place()[split] == Place::varying,
           "linear_split: x is {} and the weight {} on the {} axis, expected varying", name_of(x.place()[split]),
           name_of(w.place()[split]), name_of(split));
  const Placement place = place_elementwise("linear_split", {x.place(), w.place()});
  return run_linear(tape, x, w, place.with(split, Place::partial), false);
}

Value grouped_linear(Tape& tape, const Value& x, const Value& w, const Tensor& row_begin) {
  OG_CHECK(x.rank() == 2 && w.rank() == 3 && x.size(1) == w.size(2) && x.dtype() == w.dtype(),
           "grouped_linear: weight {} for x {}", w.shape().str(), x.shape().str());
  OG_CHECK(row_begin.rank() == 1 && row_begin.dtype() == DType::i64 && row_begin.size(0) == w.size(0) + 1,
           "grouped_linear: row borders {} {} for {} experts", name_of(row_begin.dtype()), row_begin.shape().str(),
           w.size(0));
  Context& cx = tape.context();
  const Profile::Scope scope(&cx.profile, Part::products);
  Value y = tape.output({x.size(0), w.size(1)}, x.dtype(), place_elementwise("grouped_linear", {x.place(), w.place()}),
                        {x, w});
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    matmul_kernels<T>(cx.stream).grouped_rows(cx.stream, Transpose::nt, y.tensor().template rows<T>(), Put::write,
                                              x.tensor().rows<const T>(), w.tensor().template view<const T, 3>(),
                                              row_begin.view<const int64_t, 1>());
  });
  cx.profile.count_product(flops(x.tensor(), w.tensor()));
  auto function = std::make_unique<GroupedLinear>();
  function->x = x.tensor();
  function->w = w.tensor();
  function->row_begin = row_begin;
  tape.record(std::move(function), {x, w}, {y});
  return y;
}

}  // namespace og

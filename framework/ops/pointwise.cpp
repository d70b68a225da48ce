#include "framework/ops/pointwise.h"

#include <vector>

#include "framework/ops/ranges.h"
#include "framework/ops/shape.h"

namespace og {

namespace {

template <class T>
const PointwiseKernels<T>& kernels(Context& cx) {
  return pointwise_kernels<T>(cx.stream);
}

struct Apply final : Function {
  Unary f = Unary::identity;
  Tensor x;
  const char* name() const override { return name_of(f); }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(x.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      kernels<T>(cx).unary_backward(cx.stream, f, dx.template flat<T>(), put, dy.flat<const T>(), x.flat<const T>());
    });
  }
};

// y = sum of its inputs, each as it is.
struct Add final : Function {
  const char* name() const override { return "add"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    for (size_t i : {size_t{0}, size_t{1}}) {
      if (!input(i)) continue;
      auto [dx, put] = input(i)->open(cx);
      move_into(cx.stream, dx, put, dy);
    }
  }
};

struct Multiply final : Function {
  Tensor a, b;
  const char* name() const override { return "multiply"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const Tensor* other[] = {&b, &a};
    for (size_t i : {size_t{0}, size_t{1}}) {
      if (!input(i)) continue;
      auto [dx, put] = input(i)->open(cx);
      visit_real(dy.dtype(), [&, dx = dx, put = put](auto zero) {
        using T = decltype(zero);
        kernels<T>(cx).multiply(cx.stream, dx.template flat<T>(), put, dy.flat<const T>(), other[i]->flat<const T>());
      });
    }
  }
};

struct Scale final : Function {
  double c = 1;
  const char* name() const override { return "scale"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(dy.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      kernels<T>(cx).scale(cx.stream, dx.template flat<T>(), put, dy.flat<const T>(), static_cast<T>(c));
    });
  }
};

struct SiluMultiply final : Function {
  Tensor gate, up;
  const char* name() const override { return "silu_multiply"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    Slot::Target dgate{{}, Put::write}, dup{{}, Put::write};
    if (input(0)) dgate = input(0)->open(cx);
    if (input(1)) dup = input(1)->open(cx);
    visit_real(dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const auto target = [](const Slot::Target& t) {
        return t.tensor.defined() ? t.tensor.template flat<T>() : View<T, 1>();
      };
      kernels<T>(cx).silu_multiply_backward(cx.stream, target(dgate), dgate.put, target(dup), dup.put,
                                            dy.flat<const T>(), gate.flat<const T>(), up.flat<const T>());
    });
  }
};

struct AddBias final : Function {
  const char* name() const override { return "add_bias"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    visit_real(dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (input(0)) {
        auto [dx, put] = input(0)->open(cx);
        kernels<T>(cx).scale(cx.stream, dx.template flat<T>(), put, dy.flat<const T>(), T{1});
      }
      if (input(1)) {
        auto [db, put] = input(1)->open(cx);
        kernels<T>(cx).sum_columns(cx.stream, db.template flat<T>(), put, dy.rows<const T>(), {});
      }
    });
  }
};

struct MultiplyLast final : Function {
  Tensor x, w;
  const char* name() const override { return "multiply_last"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    visit_real(dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (input(0)) {
        auto [dx, put] = input(0)->open(cx);
        kernels<T>(cx).multiply_columns(cx.stream, dx.template rows<T>(), put, dy.rows<const T>(), w.flat<const T>());
      }
      if (input(1)) {
        auto [dw, put] = input(1)->open(cx);
        kernels<T>(cx).sum_columns(cx.stream, dw.template flat<T>(), put, dy.rows<const T>(), x.rows<const T>());
      }
    });
  }
};

struct MultiplyRows final : Function {
  Tensor x, s;
  const char* name() const override { return "multiply_rows"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    visit_real(dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      if (input(0)) {
        auto [dx, put] = input(0)->open(cx);
        kernels<T>(cx).multiply_rows(cx.stream, dx.template rows<T>(), put, dy.rows<const T>(), s.flat<const T>());
      }
      if (input(1)) {
        auto [ds, put] = input(1)->open(cx);
        kernels<T>(cx).dot_rows(cx.stream, ds.template flat<T>(), put, dy.rows<const T>(), x.rows<const T>());
      }
    });
  }
};

void check_same(const char* op, const Value& a, const Value& b) {
  OG_CHECK(a.shape() == b.shape() && a.dtype() == b.dtype(), "{}: {} {} and {} {}", op, name_of(a.dtype()),
           a.shape().str(), name_of(b.dtype()), b.shape().str());
}

}  // namespace

Value apply(Tape& tape, Unary f, const Value& x) {
  Value y = tape.output(x.shape(), x.dtype(), place_elementwise(name_of(f), {x.place()}), {x});
  Context& cx = tape.context();
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels<T>(cx).unary_forward(cx.stream, f, y.tensor().template flat<T>(), x.tensor().flat<const T>());
  });
  auto function = std::make_unique<Apply>();
  function->f = f;
  function->x = x.tensor();
  tape.record(std::move(function), {x}, {y});
  return y;
}

Value add(Tape& tape, const Value& a, const Value& b) {
  check_same("add", a, b);
  Value y = tape.output(a.shape(), a.dtype(), place_sum("add", {a.place(), b.place()}), {a, b});
  Context& cx = tape.context();
  visit_real(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels<T>(cx).add(cx.stream, y.tensor().template flat<T>(), a.tensor().flat<const T>(),
                       b.tensor().flat<const T>());
  });
  tape.record(std::make_unique<Add>(), {a, b}, {y});
  return y;
}

Value multiply(Tape& tape, const Value& a, const Value& b) {
  check_same("multiply", a, b);
  Value y = tape.output(a.shape(), a.dtype(), place_elementwise("multiply", {a.place(), b.place()}), {a, b});
  Context& cx = tape.context();
  visit_real(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels<T>(cx).multiply(cx.stream, y.tensor().template flat<T>(), Put::write, a.tensor().flat<const T>(),
                            b.tensor().flat<const T>());
  });
  auto function = std::make_unique<Multiply>();
  function->a = a.tensor();
  function->b = b.tensor();
  tape.record(std::move(function), {a, b}, {y});
  return y;
}

Value scale(Tape& tape, const Value& x, double c) {
  Value y = tape.output(x.shape(), x.dtype(), x.place(), {x});
  Context& cx = tape.context();
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels<T>(cx).scale(cx.stream, y.tensor().template flat<T>(), Put::write, x.tensor().flat<const T>(),
                         static_cast<T>(c));
  });
  auto function = std::make_unique<Scale>();
  function->c = c;
  tape.record(std::move(function), {x}, {y});
  return y;
}

Value silu_multiply(Tape& tape, const Value& gate, const Value& up) {
  check_same("silu_multiply", gate, up);
  Value y = tape.output(gate.shape(), gate.dtype(), place_elementwise("silu_multiply", {gate.place(), up.place()}),
                        {gate, up});
  Context& cx = tape.context();
  visit_real(gate.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels<T>(cx).silu_multiply_forward(cx.stream, y.tensor().template flat<T>(), gate.tensor().flat<const T>(),
                                         up.tensor().flat<const T>());
  });
  auto function = std::make_unique<SiluMultiply>();
  function->gate = gate.tensor();
  function->up = up.tensor();
  tape.record(std::move(function), {gate, up}, {y});
  return y;
}

Value add_bias(Tape& tape, const Value& x, const Value& b_D) {
  OG_CHECK(b_D.rank() == 1 && x.size(-1) == b_D.size(0), "add_bias: {} to {}", b_D.shape().str(), x.shape().str());
  Value y = tape.output(x.shape(), x.dtype(), place_elementwise("add_bias", {x.place(), b_D.place()}), {x, b_D});
  Context& cx = tape.context();
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels<T>(cx).add_columns(cx.stream, y.tensor().template rows<T>(), x.tensor().rows<const T>(),
                               b_D.tensor().flat<const T>());
  });
  tape.record(std::make_unique<AddBias>(), {x, b_D}, {y});
  return y;
}

Value multiply_last(Tape& tape, const Value& x, const Value& w_D) {
  OG_CHECK(w_D.rank() == 1 && x.size(-1) == w_D.size(0), "multiply_last: {} with {}", x.shape().str(),
           w_D.shape().str());
  Value y = tape.output(x.shape(), x.dtype(), place_elementwise("multiply_last", {x.place(), w_D.place()}), {x, w_D});
  Context& cx = tape.context();
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels<T>(cx).multiply_columns(cx.stream, y.tensor().template rows<T>(), Put::write, x.tensor().rows<const T>(),
                                    w_D.tensor().flat<const T>());
  });
  auto function = std::make_unique<MultiplyLast>();
  function->x = x.tensor();
  function->w = w_D.tensor();
  tape.record(std::move(function), {x, w_D}, {y});
  return y;
}

Value multiply_rows(Tape& tape, const Value& x, const Value& s) {
  const int64_t width = x.size(-1);
  OG_CHECK(s.shape().count() * width == x.shape().count() && s.rank() == x.rank() - 1, "multiply_rows: {} with {}",
           x.shape().str(), s.shape().str());
  Value y = tape.output(x.shape(), x.dtype(), place_elementwise("multiply_rows", {x.place(), s.place()}), {x, s});
  Context& cx = tape.context();
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels<T>(cx).multiply_rows(cx.stream, y.tensor().template rows<T>(), Put::write, x.tensor().rows<const T>(),
                                 s.tensor().flat<const T>());
  });
  auto function = std::make_unique<MultiplyRows>();
  function->x = x.tensor();
  function->s = s.tensor();
  tape.record(std::move(function), {x, s}, {y});
  return y;
}

Value multiply_heads(Tape& tape, const Value& x, const Value& w_H) {
  OG_CHECK(w_H.rank() == 1 && x.rank() >= 2 && x.size(-2) == w_H.size(0), "multiply_heads: {} with {}", x.shape().str(),
           w_H.shape().str());
  // [.., H, D] as rows [.., H D]: each head's factor repeated over its width.
  Shape merged;
  for (int i = 0; i + 2 < x.rank(); ++i) merged.push_back(x.size(i));
  merged.push_back(x.size(-2) * x.size(-1));
  const Value y = multiply_last(tape, reshape(tape, x, merged), repeat_elements(tape, w_H, x.size(-1)));
  return reshape(tape, y, x.shape());
}

}  // namespace og

#include "framework/ops/gates.h"

#include "framework/kernels/gates.h"

namespace og {

namespace {

struct LowerBound final : Function {
  Tensor share_LC;  // softmax over layers
  int layer = 0;

  const char* name() const override { return "lower_bound"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const Slot::Target dx = input(0)->open(cx);
    visit_real(dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      gate_kernels<T>(cx.stream).lower_bound_backward(cx.stream, dx.tensor.view<T, 2>(), dx.put, dy.view<const T, 1>(),
                                                      share_LC.view<const T, 2>(), layer);
    });
  }
};

struct BoundedLogGate final : Function {
  Tensor x, lb, g;

  const char* name() const override { return "bounded_log_gate"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    Slot::Target dx{{}, Put::write}, dlb{{}, Put::write};
    if (input(0)) dx = input(0)->open(cx);
    if (input(1)) dlb = input(1)->open(cx);
    visit_real(dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      gate_kernels<T>(cx.stream).bounded_backward(cx.stream, dx.tensor.rows<T>(), dx.put, dlb.tensor.view<T, 1>(),
                                                  dlb.put, dy.rows<const T>(), x.rows<const T>(), lb.view<const T, 1>(),
                                                  g.rows<const T>());
    });
  }
};

}  // namespace

Value constant_gate(Tape& tape, const Value& x, std::span<const double> log_decay) {
  const int64_t heads = x.size(2);
  OG_CHECK(std::ssize(log_decay) == heads, "constant_gate: {} decays for {} heads", log_decay.size(), heads);
  const Tensor g = tape.context().empty({x.size(0), x.size(1), heads}, x.dtype());
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    gate_kernels<T>(tape.stream()).constant(tape.stream(), g.rows<T>(), {log_decay.data(), {heads}});
  });
  return Value(g, x.place());
}

Value lower_bound(Tape& tape, const Value& free_LC, int layer) {
  OG_CHECK(free_LC.rank() == 2 && layer >= 0 && layer < free_LC.size(0), "lower_bound: layer {} of {}", layer,
           free_LC.shape().str());
  Value y = tape.output({free_LC.size(1)}, free_LC.dtype(), free_LC.place(), {free_LC});
  const Tensor share = tape.context().empty(free_LC.shape(), free_LC.dtype());
  visit_real(free_LC.dtype(), [&](auto zero) {
    using T = decltype(zero);
    gate_kernels<T>(tape.stream())
        .lower_bound_forward(tape.stream(), y.tensor().view<T, 1>(), share.view<T, 2>(),
                             free_LC.tensor().view<const T, 2>(), layer);
  });
  auto function = std::make_unique<LowerBound>();
  function->share_LC = share;
  function->layer = layer;
  tape.record(std::move(function), {free_LC}, {y});
  return y;
}

Value bounded_log_gate(Tape& tape, const Value& x, const Value& lb_C) {
  OG_CHECK(lb_C.rank() == 1 && x.size(-1) == lb_C.size(0), "bounded_log_gate: bound {} for {}", lb_C.shape().str(),
           x.shape().str());
  Value y =
      tape.output(x.shape(), x.dtype(), place_elementwise("bounded_log_gate", {x.place(), lb_C.place()}), {x, lb_C});
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    gate_kernels<T>(tape.stream())
        .bounded_forward(tape.stream(), y.tensor().rows<T>(), x.tensor().rows<const T>(),
                         lb_C.tensor().view<const T, 1>());
  });
  auto function = std::make_unique<BoundedLogGate>();
  function->x = x.tensor();
  function->lb = lb_C.tensor();
  function->g = y.tensor();
  tape.record(std::move(function), {x, lb_C}, {y});
  return y;
}

}  // namespace og

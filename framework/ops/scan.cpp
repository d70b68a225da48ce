#include "framework/ops/scan.h"

#include "framework/kernels/norm.h"

namespace og {

void check_scan(const Recurrence& r, const ScanStreams& s, const Tensor& start_BT, const Value& initial_state) {
  OG_CHECK(s.q.rank() == 4 && s.k.shape() == s.q.shape(), "scan: q {}, k {}", s.q.shape().str(), s.k.shape().str());
  const int64_t B = s.q.size(0), T = s.q.size(1), H = s.q.size(2), K = s.q.size(3);
  OG_CHECK(s.v.rank() == 4 && s.v.size(0) == B && s.v.size(1) == T && s.v.size(2) == H, "scan: v {} for q {}",
           s.v.shape().str(), s.q.shape().str());
  OG_CHECK(s.g.defined() == (r.gate != Gate::none), "scan: the recurrence and the streams disagree about a gate");
  const Shape gate = r.gate == Gate::diagonal ? Shape{B, T, H, K} : Shape{B, T, H};
  OG_CHECK(!s.g.defined() || s.g.shape() == gate, "scan: g {}, expected {}", s.g.shape().str(), gate.str());
  OG_CHECK(s.beta.defined() == r.delta && (!r.delta || s.beta.shape() == Shape({B, T, H})),
           "scan: beta {} for q {}, delta rule: {}", s.beta.shape().str(), s.q.shape().str(), r.delta);
  OG_CHECK(start_BT.shape() == Shape({B, T}) && start_BT.dtype() == DType::i32, "scan: document starts {} for q {}",
           start_BT.shape().str(), s.q.shape().str());
  const Shape state{B, H, K, s.v.size(3)};
  OG_CHECK(!initial_state.defined() || initial_state.shape() == state, "scan: initial state {}, expected {}",
           initial_state.shape().str(), state.str());
  OG_CHECK(r.chunk >= 1, "scan: chunk {}", r.chunk);
  for (const Value* x : {&s.k, &s.v, &s.g, &s.beta, &initial_state})
    OG_CHECK(!x->defined() || x->dtype() == s.q.dtype(), "scan: {} beside {}", name_of(x->dtype()),
             name_of(s.q.dtype()));
}

Tensor as_stream(const Tensor& x) { return x.rank() == 3 ? x.reshape({x.size(0), x.size(1), x.size(2), 1}) : x; }

ScanTensors tensors_of(const ScanStreams& streams, const Tensor& start_BT) {
  return {streams.map([](const Value& x) { return as_stream(x.tensor()); }), start_BT, streams.scale};
}

int64_t Summary::count(const Shape& state, int64_t transition_size) {
  return state[0] * state[1] * transition_size + state.count();
}

Summary Summary::of(const Tensor& flat, const Shape& state, int64_t transition_size) {
  const int64_t cut = state[0] * state[1] * transition_size;
  OG_CHECK(flat.count() == count(state, transition_size), "summary: {} numbers, expected {}", flat.count(),
           count(state, transition_size));
  return {flat, flat.slice(0, cut).reshape({state[0], state[1], transition_size}),
          flat.slice(cut, flat.count()).reshape(state)};
}

Summary Summary::empty(Context& cx, const Shape& state, int64_t transition_size, DType dtype) {
  return of(cx.empty({count(state, transition_size)}, dtype), state, transition_size);
}

namespace {

enum class Fold : uint8_t { advance, retreat };

Tensor fold(Context& cx, Fold fold, const Shape& shape, const Tensor& maps, SummaryRun run, const Tensor& state) {
  OG_CHECK(maps.rank() == 2 && run.count >= 1 && (!state.defined() || state.shape() == shape),
           "scan: {} maps of {} from a state {}, expected {}", run.count, maps.shape().str(), state.shape().str(),
           shape.str());
  const Tensor out = cx.empty(shape, maps.dtype());
  const Tensor work = run.count > 1 ? cx.empty(shape, maps.dtype()) : Tensor();
  visit_real(maps.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const SummaryKernels<T>& k = summary_kernels<T>(cx.stream);
    (fold == Fold::advance ? k.advance : k.retreat)(cx.stream, out.view<T, 4>(), work.flat<T>(),
                                                    maps.view<const T, 2>(), run, state.view<const T, 4>());
  });
  return out;
}

Tensor row_of(const Summary& piece) { return piece.flat.reshape({1, piece.flat.count()}); }

Summary compose(Context& cx, Fold fold, const Summary& earlier, const Summary& later) {
  const Shape& shape = later.b.shape();
  const Summary out = Summary::empty(cx, shape, later.a.size(2), later.flat.dtype());
  visit_real(out.flat.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const SummaryKernels<T>& k = summary_kernels<T>(cx.stream);
    (fold == Fold::advance ? k.compose : k.compose_backward)(cx.stream, out.flat.flat<T>(),
                                                             earlier.flat.flat<const T>(), later.flat.flat<const T>(),
                                                             {shape[0], shape[1], shape[2], shape[3]});
  });
  return out;
}

}  // namespace

Tensor advance_states(Context& cx, const Shape& shape, const Tensor& maps, SummaryRun run, const Tensor& state) {
  return fold(cx, Fold::advance, shape, maps, run, state);
}
Tensor retreat_states(Context& cx, const Shape& shape, const Tensor& maps, SummaryRun run, const Tensor& state) {
  return fold(cx, Fold::retreat, shape, maps, run, state);
}
Tensor advance_state(Context& cx, const Summary& piece, const Tensor& state) {
  return advance_states(cx, piece.b.shape(), row_of(piece), {.count = 1}, state);
}
Tensor retreat_state(Context& cx, const Summary& piece, const Tensor& state) {
  return retreat_states(cx, piece.b.shape(), row_of(piece), {.count = 1}, state);
}

Summary combine(Context& cx, const Summary& earlier, const Summary& later) {
  return compose(cx, Fold::advance, earlier, later);
}
Summary combine_backward(Context& cx, const Summary& earlier, const Summary& later) {
  return compose(cx, Fold::retreat, earlier, later);
}

Placement place_of(const ScanStreams& s) {
  Placement p = place_elementwise("scan", {s.q.place(), s.k.place(), s.v.place()});
  if (s.g.defined()) p = place_elementwise("scan", {p, s.g.place()});
  if (s.beta.defined()) p = place_elementwise("scan", {p, s.beta.place()});
  return p;
}

namespace {

struct NormaliseByLast final : Function {
  Tensor o;
  double eps = 0;
  const char* name() const override { return "normalise_by_last"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(o.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      norm_kernels<T>(cx.stream).divide_by_last_backward(cx.stream, dx.template rows<T>(), put, dy.rows<const T>(),
                                                         o.rows<const T>(), static_cast<T>(eps));
    });
  }
};

}  // namespace

Value normalise_by_last(Tape& tape, const Value& o, double eps) {
  Shape shape = o.shape();
  OG_CHECK(shape.rank() >= 1 && shape[-1] >= 2, "normalise_by_last: {}", shape.str());
  shape.set(-1, shape[-1] - 1);
  Value y = tape.output(shape, o.dtype(), place_elementwise("normalise_by_last", {o.place()}), {o});
  visit_real(o.dtype(), [&](auto zero) {
    using T = decltype(zero);
    norm_kernels<T>(tape.stream())
        .divide_by_last_forward(tape.stream(), y.tensor().template rows<T>(), o.tensor().rows<const T>(),
                                static_cast<T>(eps));
  });
  auto function = std::make_unique<NormaliseByLast>();
  function->o = o.tensor();
  function->eps = eps;
  tape.record(std::move(function), {o}, {y});
  return y;
}

}  // namespace og

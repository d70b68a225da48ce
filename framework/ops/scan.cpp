#include "framework/ops/scan.h"

#include <algorithm>

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

template <bool kTransposed>
Tensor fold(Context& cx, const Tensor& a, const Tensor& b, const Tensor& state) {
  if (!state.defined()) return b.clone(*cx.pool);
  const Tensor out = cx.empty(b.shape(), b.dtype());
  visit_real(b.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const ScanKernels<T>& kernels = scan_kernels<T>(cx.stream, ScanForm::automatic);
    (kTransposed ? kernels.retreat : kernels.advance)(cx.stream, out.view<T, 4>(), a.view<const T, 3>(),
                                                      state.view<const T, 4>(), b.view<const T, 4>());
  });
  return out;
}

}  // namespace

Tensor advance_state(Context& cx, const Summary& piece, const Tensor& state) {
  return fold<false>(cx, piece.a, piece.b, state);
}
Tensor retreat_state(Context& cx, const Summary& piece, const Tensor& state) {
  return fold<true>(cx, piece.a, piece.b, state);
}

Placement place_of(const ScanStreams& s) {
  Placement p = place_elementwise("scan", {s.q.place(), s.k.place(), s.v.place()});
  if (s.g.defined()) p = place_elementwise("scan", {p, s.g.place()});
  if (s.beta.defined()) p = place_elementwise("scan", {p, s.beta.place()});
  return p;
}

Summary combine(Context& cx, const Summary& earlier, const Summary& later) {
  const int64_t B = later.b.size(0), H = later.b.size(1), K = later.b.size(2), n = later.a.size(2);
  const Summary out = Summary::empty(cx, later.b.shape(), n, later.flat.dtype());
  out.b.copy_from(advance_state(cx, later, earlier.b));
  // A of a matrix carry is a state with K value columns; a number or K of them are K = 1 or K states of one column.
  const Shape as_state = n == K * K && n != K ? Shape{B, H, K, K} : Shape{B, H, n, 1};
  const Tensor zero = cx.zeros(as_state, later.a.dtype());
  out.a.copy_from(fold<false>(cx, later.a, zero, earlier.a.reshape(as_state)).reshape(out.a.shape()));
  return out;
}

namespace {

int64_t rows_of(const Tensor& x) { return x.count() / std::max<int64_t>(1, x.size(-1)); }

struct NormaliseByLast final : Function {
  Tensor o;
  double eps = 0;
  const char* name() const override { return "normalise_by_last"; }
  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dx, put] = input(0)->open(cx);
    visit_real(o.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      const int64_t width = dy.size(-1);
      for (int64_t r = 0; r < rows_of(o); ++r) {
        const T* x = o.data<const T>() + r * (width + 1);
        const T* d = dy.data<const T>() + r * width;
        T* out = dx.template data<T>() + r * (width + 1);
        const T inverse = 1 / (x[width] + static_cast<T>(eps));
        T last = 0;
        for (int64_t j = 0; j < width; ++j) {
          last -= d[j] * x[j] * inverse * inverse;
          store(out[j], put, d[j] * inverse);
        }
        store(out[width], put, last);
      }
    });
  }
};

}  // namespace

Value normalise_by_last(Tape& tape, const Value& o, double eps) {
  Shape shape = o.shape();
  OG_CHECK(shape.rank() >= 1 && shape[-1] >= 2, "normalise_by_last: {}", shape.str());
  const int64_t width = shape[-1] - 1;
  shape.set(-1, width);
  Value y = tape.output(shape, o.dtype(), place_elementwise("normalise_by_last", {o.place()}), {o});
  visit_real(o.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (int64_t r = 0; r < rows_of(o.tensor()); ++r) {
      const T* x = o.tensor().data<const T>() + r * (width + 1);
      const T inverse = 1 / (x[width] + static_cast<T>(eps));
      for (int64_t j = 0; j < width; ++j) y.tensor().data<T>()[r * width + j] = x[j] * inverse;
    }
  });
  auto function = std::make_unique<NormaliseByLast>();
  function->o = o.tensor();
  function->eps = eps;
  tape.record(std::move(function), {o}, {y});
  return y;
}

}  // namespace og

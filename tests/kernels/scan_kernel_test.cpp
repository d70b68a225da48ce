// The kernels of the recurrences against each other: token by token, in chunks, in phases, vectorised.
#include <gtest/gtest.h>

#include <cstring>

#include "framework/kernels/scan.h"
#include "framework/kernels/summary.h"
#include "tests/tensors.h"

namespace og {
namespace {

struct Case {
  int64_t B, T, H, K, V;
  int gate;  // 0 none, 1 scalar, 2 diagonal
  bool delta;
  int64_t chunk;
  double gate_scale = 0.5;
  bool packed = false;
  bool entry = true;
};

struct Results {
  std::vector<Tensor> tensors;  // o, exit, a, b, c, dq, dk, dv, dg, dbeta, dentry
};

struct Inputs {
  Context cx;
  Tensor q, k, v, g, beta, start, entry, dout, dexit;

  explicit Inputs(const Case& c) {
    q = random_tensor(cx, {c.B, c.T, c.H, c.K}, DType::f64, 1);
    k = random_tensor(cx, {c.B, c.T, c.H, c.K}, DType::f64, 2, 1 / std::sqrt(static_cast<double>(c.K)));
    v = random_tensor(cx, {c.B, c.T, c.H, c.V}, DType::f64, 3);
    if (c.gate) g = random_tensor(cx, {c.B, c.T, c.H, c.gate == 1 ? 1 : c.K}, DType::f64, 4, c.gate_scale);
    for (int64_t i = 0; c.gate && i < g.count(); ++i) g.data<double>()[i] = -std::abs(g.data<double>()[i]);
    if (c.delta) beta = random_tensor(cx, {c.B, c.T, c.H, 1}, DType::f64, 5);
    for (int64_t i = 0; c.delta && i < beta.count(); ++i)
      beta.data<double>()[i] = 1 / (1 + std::exp(-beta.data<double>()[i]));
    start = cx.empty({c.B, c.T}, DType::i32);
    for (int64_t b = 0; b < c.B; ++b) {
      int32_t at = -3;
      for (int64_t t = 0; t < c.T; ++t) {
        if (c.packed && random_below(6, static_cast<uint64_t>(b * c.T + t), 7) == 0) at = static_cast<int32_t>(t);
        start.data<int32_t>()[b * c.T + t] = at;
      }
    }
    entry = random_tensor(cx, {c.B, c.H, c.K, c.V}, DType::f64, 7);
    dexit = random_tensor(cx, {c.B, c.H, c.K, c.V}, DType::f64, 8);
    dout = random_tensor(cx, {c.B, c.T, c.H, c.V}, DType::f64, 9);
  }
};

template <class T>
Results run(Inputs& x, const Case& c, const ScanKernels<T>& kernels, bool phases) {
  Context& cx = x.cx;
  const DType type = DTypeOf<T>::value;
  const auto cast = [&](const Tensor& t) { return t.defined() ? t.cast(*cx.pool, type) : t; };
  const Tensor q = cast(x.q), k = cast(x.k), v = cast(x.v), g = cast(x.g), beta = cast(x.beta);
  const Tensor entry = cast(x.entry), dexit = cast(x.dexit), dout = cast(x.dout);
  ScanInputs<T> in;
  in.q = q.view<const T, 4>(), in.k = k.view<const T, 4>(), in.v = v.view<const T, 4>();
  in.g = g.view<const T, 4>(), in.beta = beta.view<const T, 4>();
  in.start = x.start.view<const int32_t, 2>();
  in.scale = static_cast<T>(0.7), in.chunk = c.chunk;
  const Shape state = x.entry.shape();
  Results r;
  const auto out = [&](const Shape& s) {
    r.tensors.push_back(cx.empty(s, type));
    return r.tensors.back();
  };
  const Tensor o = out(x.v.shape()), exit = out(state), a = out({c.B, c.H, in.transition_size()}), b = out(state);
  const Tensor cc = out(state), dq = out(x.q.shape()), dk = out(x.k.shape()), dv = out(x.v.shape());
  const Tensor dg = c.gate ? out(x.g.shape()) : Tensor(), dbeta = c.delta ? out(x.beta.shape()) : Tensor();
  const Tensor dentry = out(state);
  const auto work = [&](ScanCall call) { return cx.empty({kernels.workspace(cx.stream, in, call)}, type); };
  // What summaries do not read has no memory.
  ScanInputs<T> of_summary = in, of_summary_backward = in;
  of_summary.q.data = of_summary_backward.v.data = nullptr;
  if (!c.delta) of_summary_backward.k.data = nullptr;
  const View<const T, 4> s0 = c.entry ? entry.view<const T, 4>() : View<const T, 4>{};
  const View<const T, 4> out_gradient = dout.view<const T, 4>(), exit_gradient = dexit.view<const T, 4>();
  const SummaryKernels<T>& folds = summary_kernels<T>(cx.stream);
  const auto row_of = [&](const Tensor& transition, const Tensor& rest) {
    const Tensor row = cx.empty({1, transition.count() + rest.count()}, type);
    std::memcpy(row.raw(), transition.raw(), static_cast<size_t>(transition.bytes()));
    std::memcpy(row.raw() + transition.bytes(), rest.raw(), static_cast<size_t>(rest.bytes()));
    return row;
  };
  {
    const Tensor w = work(ScanCall::phases);
    kernels.summarise(cx.stream, a.view<T, 3>(), b.view<T, 4>(), w.flat<T>(), of_summary);
    if (phases) {
      const int64_t rows = in.rows() * in.heads(), middle = (rows + 1) / 2;
      kernels.local(cx.stream, o.view<T, 4>(), w.flat<T>(), in, {middle, rows});
      kernels.local(cx.stream, o.view<T, 4>(), w.flat<T>(), in, {0, middle});
      kernels.finish(cx.stream, o.view<T, 4>(), w.flat<T>(), in, s0);
      folds.advance(cx.stream, exit.view<T, 4>(), {}, row_of(a, b).template view<const T, 2>(), {.count = 1}, s0);
    } else {
      const Tensor f = work(ScanCall::forward);
      kernels.forward(cx.stream, o.view<T, 4>(), exit.view<T, 4>(), f.flat<T>(), in, s0);
    }
  }
  ScanGradients<T> grad;
  grad.q = dq.view<T, 4>(), grad.k = dk.view<T, 4>(), grad.v = dv.view<T, 4>(), grad.g = dg.view<T, 4>();
  grad.beta = dbeta.view<T, 4>();
  const Tensor w = work(ScanCall::phases_backward);
  kernels.summarise_backward(cx.stream, cc.view<T, 4>(), w.flat<T>(), of_summary_backward, out_gradient);
  if (phases) {
    const int64_t rows = in.rows() * in.heads(), middle = (rows + 1) / 2;
    kernels.local_backward(cx.stream, w.flat<T>(), in, out_gradient, s0, {middle, rows});
    kernels.local_backward(cx.stream, w.flat<T>(), in, out_gradient, s0, {0, middle});
    kernels.finish_backward(cx.stream, grad, {}, w.flat<T>(), in, out_gradient, s0, exit_gradient);
    folds.retreat(cx.stream, dentry.view<T, 4>(), {}, row_of(a, cc).template view<const T, 2>(), {.count = 1},
                  exit_gradient);
  } else {
    const Tensor f = work(ScanCall::backward);
    kernels.backward(cx.stream, grad, dentry.view<T, 4>(), f.flat<T>(), in, out_gradient, s0, exit_gradient);
  }
  return r;
}

void expect_equal(const Results& a, const Results& b, double bound, const Case& c) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i)
    EXPECT_LT(distance(a.tensors[i], b.tensors[i]), bound)
        << "output " << i << ", gate " << c.gate << ", delta " << c.delta << ", T " << c.T << ", K " << c.K << ", V "
        << c.V << ", chunk " << c.chunk << ", packed " << c.packed;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int gate : {0, 1, 2})
    for (bool delta : {false, true})
      for (bool packed : {false, true}) {
        all.push_back({2, 37, 2, 5, 3, gate, delta, 16, 0.5, packed});
        all.push_back({1, 70, 1, 17, 19, gate, delta, 64, 0.5, packed});
        all.push_back({1, 1, 2, 4, 4, gate, delta, 64, 0.5, packed, false});
        all.push_back({1, 0, 1, 3, 2, gate, delta, 64, 0.5, packed});
        all.push_back({1, 23, 1, 1, 2, gate, delta, 7, 0.5, packed});
      }
  return all;
}

TEST(ScanKernels, ChunksEqualTheRecurrence) {
  for (const Case& c : cases()) {
    Inputs x(c);
    const Results truth = run(x, c, scan_ref<double>(), false);
    expect_equal(run(x, c, scan_ref<double>(), true), truth, 1e-12, c);
    for (int64_t chunk : {int64_t{1}, int64_t{2}, int64_t{16}, c.chunk, std::max<int64_t>(1, c.T)}) {
      Case d = c;
      d.chunk = chunk;
      for (bool phases : {false, true}) expect_equal(run(x, d, scan_chunked<double>(), phases), truth, 1e-10, d);
    }
  }
}

TEST(ScanKernels, VectorisedEqualTheReference) {
  std::vector<Case> all = cases();
  for (int gate : {0, 1, 2})
    for (bool delta : {false, true}) all.push_back({1, 131, 3, 64, 48, gate, delta, 64, 0.1, false});
  for (const Case& c : all) {
    Inputs x(c);
    const Results truth = run(x, c, scan_ref<double>(), false);
    for (bool phases : {false, true}) {
      Results r = run(x, c, scan_kernels<float>(x.cx.stream, ScanForm::automatic), phases);
      for (Tensor& t : r.tensors) t = t.cast(*x.cx.pool, DType::f64);
      expect_equal(r, truth, 1e-5, c);
    }
  }
}

TEST(ScanKernels, ThreadsAndIsasAgree) {
  const Case c{2, 100, 3, 33, 18, 2, true, 64, 0.3, true};
  Inputs x(c);
  const Results one = run(x, c, scan_kernels<float>(x.cx.stream, ScanForm::automatic), true);
  x.cx.stream.num_threads = 4;
  const Results four = run(x, c, scan_kernels<float>(x.cx.stream, ScanForm::automatic), true);
  for (size_t i = 0; i < one.tensors.size(); ++i) EXPECT_TRUE(same_bits(one.tensors[i], four.tensors[i])) << i;
  if (best_isa() >= Isa::avx2) expect_equal(run(x, c, avx2::scan_table(), true), one, 1e-5, c);
}

TEST(ScanKernels, StrongGatesStayExact) {
  for (int gate : {1, 2})
    for (bool delta : {false, true})
      for (int kind : {0, 1, 2}) {  // zeros; -50 everywhere; one in ten -50, the rest -0.01
        const Case c{1, 128, 1, 16, 16, gate, delta, 64};
        Inputs x(c);
        for (int64_t i = 0; i < x.g.count(); ++i)
          x.g.data<double>()[i] = kind == 0                                                          ? 0
                                  : kind == 1 || random_below(11, static_cast<uint64_t>(i), 10) == 0 ? -50
                                                                                                     : -0.01;
        const Results truth = run(x, c, scan_ref<double>(), false);
        expect_equal(run(x, c, scan_chunked<double>(), true), truth, 1e-10, c);
        Results r = run(x, c, scan_kernels<float>(x.cx.stream, ScanForm::automatic), true);
        for (Tensor& t : r.tensors) t = t.cast(*x.cx.pool, DType::f64);
        expect_equal(r, truth, 1e-5, c);
      }
}

}  // namespace
}  // namespace og

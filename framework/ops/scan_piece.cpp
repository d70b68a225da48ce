#include "framework/ops/scan_piece.h"

namespace og {

namespace {

// A stream without memory keeps its shape.
template <class T>
View<T, 4> view_of(const Tensor& x) {
  if (x.rank() == 0) return {};
  OG_CHECK(x.rank() == 4, "scan: a stream {}", x.shape().str());
  return {x.flat<T>().data, {x.size(0), x.size(1), x.size(2), x.size(3)}};
}

template <class T>
ScanInputs<T> inputs_of(const Recurrence& recurrence, const ScanTensors& s) {
  return {s.map([](const Tensor& x) { return view_of<const T>(x); }), s.start.view<const int32_t, 2>(),
          static_cast<T>(s.scale), recurrence.chunk};
}

template <class T>
ScanGradients<T> gradients_of(const ScanTargets& targets) {
  return {targets.map([](const Slot::Target& t) { return t.tensor.view<T, 4>(); }),
          targets.map([](const Slot::Target& t) { return t.put; })};
}

}  // namespace

// f(kernels, inputs, work) for the streams' element type.
template <class F>
void ScanPiece::run(F&& f) const {
  visit_real(streams_.q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    f(scan_kernels<T>(cx_.stream, recurrence_.form), inputs_of<T>(recurrence_, streams_), work_.flat<T>());
  });
}

ScanPiece::ScanPiece(Context& cx, const Recurrence& recurrence, const ScanTensors& streams, ScanCall call)
    : cx_(cx), recurrence_(recurrence), streams_(streams) {
  run([&]<class T>(const ScanKernels<T>& kernels, const ScanInputs<T>& in, View<T, 1>) {
    work_ = cx.empty({kernels.workspace(cx.stream, in, call)}, DTypeOf<T>::value);
  });
}

Summary ScanPiece::empty_summary() const {
  return Summary::empty(cx_, state_shape(streams_), recurrence_.transition_size(streams_.q.size(3)),
                        streams_.q.dtype());
}

void ScanPiece::forward(const Tensor& o, const Tensor& exit, const Tensor& entry) const {
  run([&]<class T>(const ScanKernels<T>& kernels, const ScanInputs<T>& in, View<T, 1> work) {
    kernels.forward(cx_.stream, o.view<T, 4>(), exit.view<T, 4>(), work, in, entry.view<const T, 4>());
  });
}

Summary ScanPiece::summarise() const {
  const Summary own = empty_summary();
  run([&]<class T>(const ScanKernels<T>& kernels, const ScanInputs<T>& in, View<T, 1> work) {
    kernels.summarise(cx_.stream, own.a.view<T, 3>(), own.b.view<T, 4>(), work, in);
  });
  return own;
}

void ScanPiece::local(const Tensor& o, ScanRows rows) const {
  run([&]<class T>(const ScanKernels<T>& kernels, const ScanInputs<T>& in, View<T, 1> work) {
    kernels.local(cx_.stream, o.view<T, 4>(), work, in, rows);
  });
}

void ScanPiece::finish(const Tensor& o, const Tensor& entry) const {
  run([&]<class T>(const ScanKernels<T>& kernels, const ScanInputs<T>& in, View<T, 1> work) {
    kernels.finish(cx_.stream, o.view<T, 4>(), work, in, entry.view<const T, 4>());
  });
}

void ScanPiece::backward(const ScanTargets& gradients, const Tensor& d_entry, const Tensor& d_o, const Tensor& entry,
                         const Tensor& d_exit) const {
  run([&]<class T>(const ScanKernels<T>& kernels, const ScanInputs<T>& in, View<T, 1> work) {
    kernels.backward(cx_.stream, gradients_of<T>(gradients), d_entry.view<T, 4>(), work, in, d_o.view<const T, 4>(),
                     entry.view<const T, 4>(), d_exit.view<const T, 4>());
  });
}

Summary ScanPiece::summarise_backward(const Tensor& a, const Tensor& d_o) const {
  const Summary own = empty_summary();
  own.a.copy_from(a);
  run([&]<class T>(const ScanKernels<T>& kernels, const ScanInputs<T>& in, View<T, 1> work) {
    kernels.summarise_backward(cx_.stream, own.b.view<T, 4>(), work, in, d_o.view<const T, 4>());
  });
  return own;
}

void ScanPiece::local_backward(const Tensor& d_o, const Tensor& entry, ScanRows rows) const {
  run([&]<class T>(const ScanKernels<T>& kernels, const ScanInputs<T>& in, View<T, 1> work) {
    kernels.local_backward(cx_.stream, work, in, d_o.view<const T, 4>(), entry.view<const T, 4>(), rows);
  });
}

void ScanPiece::finish_backward(const ScanTargets& gradients, const Tensor& d_o, const Tensor& entry,
                                const Tensor& d_exit) const {
  run([&]<class T>(const ScanKernels<T>& kernels, const ScanInputs<T>& in, View<T, 1> work) {
    kernels.finish_backward(cx_.stream, gradients_of<T>(gradients), {}, work, in, d_o.view<const T, 4>(),
                            entry.view<const T, 4>(), d_exit.view<const T, 4>());
  });
}

}  // namespace og

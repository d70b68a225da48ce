// Linear recurrences: gated sums of outer products and the gated delta rule, whole and in the phases that let one
// AllGather of summaries hide behind local work (LASP-2, arXiv 2502.07563).
//
// Per batch row and head, state S [K, V], token columns, gate a_t = exp(g_t) with g_t <= 0:
//   additive (beta absent)   S_t = Diag(a_t) S_{t-1} + k_t v_t^T
//   delta    (beta given)    S_t = (I - beta_t k_t k_t^T) Diag(a_t) S_{t-1} + beta_t k_t v_t^T
//   read-out                 o_t = scale * S_t^T q_t
// A piece of the sequence is the affine map S_exit = A S_entry + B (kernels/summary.h). A per head: one number (no
// gate, scalar gate), K numbers (diagonal gate), or a K x K matrix (delta), so n = 1, K or K^2 below. Documents:
// S_{t-1} is 0 where start[b, t] == t (t counted from the piece's first token). The entry state reaches only tokens
// with start < 0; A = 0 if a document begins inside the piece. A piece may be empty.
#pragma once

#include <array>
#include <type_traits>

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

// One of something for each stream of a scan: its value, its tensor, its view, or how its gradient is stored. G: the
// same of gates and write strengths, which keep the type of a sum where q, k and v are stored in fewer bits.
template <class X, class G = X>
struct ScanBundle {
  X q{}, k{}, v{};
  G g{}, beta{};

  // f(x) for each of them.
  template <class F>
  auto map(F&& f) const {
    return ScanBundle<std::decay_t<decltype(f(q))>, std::decay_t<decltype(f(g))>>{f(q), f(k), f(v), f(g), f(beta)};
  }
  // The order in which ops take them.
  std::array<X*, 5> all() { return {&q, &k, &v, &g, &beta}; }
  std::array<const X*, 5> all() const { return {&q, &k, &v, &g, &beta}; }
};

// q [B, T, H, K], k [B, T, H, K], v [B, T, H, V]; g null, [B, T, H, 1] or [B, T, H, K]; beta null (additive) or
// [B, T, H, 1]. A stream that a phase does not read may have a shape and no memory.
template <class T>
struct ScanInputs : ScanBundle<View<const T, 4>> {
  View<const int32_t, 2> start;  // [B, T]
  T scale = 1;
  int64_t chunk = 64;  // tokens a chunk at most; chunks begin anew at document starts

  int64_t rows() const { return this->q.shape[0]; }
  int64_t tokens() const { return this->q.shape[1]; }
  int64_t heads() const { return this->q.shape[2]; }
  int64_t key_size() const { return this->q.shape[3]; }
  int64_t value_size() const { return this->v.shape[3]; }
  bool diagonal() const { return this->g && this->g.shape[3] == key_size(); }
  int64_t transition_size() const { return this->beta ? key_size() * key_size() : diagonal() ? key_size() : 1; }
};

// Gradients of the inputs; null views: not wanted.
template <class T>
struct ScanGradients : ScanBundle<View<T, 4>> {
  ScanBundle<Put> put;
};

// A range of the B H pairs of batch row and head, in memory's order: a phase runs over some of them, so that work can
// be done in parts.
struct ScanRows {
  int64_t begin, end;
};

// What a call needs scratch memory for.
enum class ScanCall : unsigned char { forward, phases, backward, phases_backward };

template <class T>
struct ScanKernels {
  // Elements of T in `work`, which the phases of one pass share.
  int64_t (*workspace)(const Stream&, const ScanInputs<T>& in, ScanCall call);

  // The whole piece at once, where nobody waits for its summary. entry null: zero. exit null: not wanted.
  void (*forward)(const Stream&, View<T, 4> o, View<T, 4> exit, View<T, 1> work, const ScanInputs<T>& in,
                  View<const T, 4> entry);
  // (A, B) of the piece; needs neither q nor the entry state.
  void (*summarise)(const Stream&, View<T, 3> a, View<T, 4> b, View<T, 1> work, const ScanInputs<T>& in);
  // What of o needs no entry state; then the rest of o.
  void (*local)(const Stream&, View<T, 4> o, View<T, 1> work, const ScanInputs<T>& in, ScanRows rows);
  void (*finish)(const Stream&, View<T, 4> o, View<T, 1> work, const ScanInputs<T>& in, View<const T, 4> entry);

  // All gradients at once. dexit null: zero. dentry null: not wanted.
  void (*backward)(const Stream&, const ScanGradients<T>& gradients, View<T, 4> dentry, View<T, 1> work,
                   const ScanInputs<T>& in, View<const T, 4> dout, View<const T, 4> entry, View<const T, 4> dexit);
  // C: the gradient of the piece's own outputs with respect to its entry state; needs no v and, but for the delta rule,
  // no k.
  void (*summarise_backward)(const Stream&, View<T, 4> c, View<T, 1> work, const ScanInputs<T>& in,
                             View<const T, 4> dout);
  // What needs the entry state but not the gradient of the exit state (in `work`); then the gradients.
  void (*local_backward)(const Stream&, View<T, 1> work, const ScanInputs<T>& in, View<const T, 4> dout,
                         View<const T, 4> entry, ScanRows rows);
  void (*finish_backward)(const Stream&, const ScanGradients<T>& gradients, View<T, 4> dentry, View<T, 1> work,
                          const ScanInputs<T>& in, View<const T, 4> dout, View<const T, 4> entry,
                          View<const T, 4> dexit);
};

// Token by token: the definition of truth.
template <class T>
const ScanKernels<T>& scan_ref();
// In chunks of any size, plain loops: proves the algebra that the fast kernels use.
template <class T>
const ScanKernels<T>& scan_chunked();
OG_CPU_TABLE(ScanKernels<float>, scan_table)

enum class ScanForm : unsigned char { automatic, recurrent, chunked };
// automatic: the fast kernels for float, the recurrence for double.
template <class T>
const ScanKernels<T>& scan_kernels(const Stream& stream, ScanForm form);

}  // namespace og

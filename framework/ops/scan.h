// Recurrence, streams, summaries: what parallel/sequence composes. A Recurrence belongs to a gate family, not to a
// mixer. The kernels that turn streams into summaries, outputs and gradients: framework/ops/scan_piece.h.
// A piece of the sequence is the affine map S_exit = A S_entry + B; its summary (A, B) has a fixed size, and summaries
// of neighbours combine associatively: (A1, B1), then (A2, B2) are (A2 A1, A2 B1 + B2). The carry says what A is.
// Streams [B, T, H, D], state [B, H, K, V], A [B, H, n].
#pragma once

#include "framework/autograd/tape.h"
#include "framework/kernels/scan.h"
#include "framework/kernels/summary.h"

namespace og {

// n: one number a head (no gate, scalar gate), K numbers (diagonal gate), a K x K matrix (delta rule: not commutative).
enum class Carry : uint8_t { scalar, diagonal, dense };

enum class Gate : uint8_t { none, scalar, diagonal };

struct Recurrence {
  Gate gate = Gate::none;
  bool delta = false;  // additive: S + k v^T; delta: (I - beta k k^T) S + beta k v^T
  ScanForm form = ScanForm::automatic;
  int64_t chunk = 64;  // tokens a chunk of the chunked kernels

  Carry carry() const { return delta ? Carry::dense : gate == Gate::diagonal ? Carry::diagonal : Carry::scalar; }
  int64_t transition_size(int64_t key_size) const {
    return delta ? key_size * key_size : gate == Gate::diagonal ? key_size : 1;
  }
};

// What a layer gives to a scan: q, k [B,T,H,K], v [B,T,H,V]; g, the natural logarithm of the gate, <= 0: absent,
// [B,T,H] or [B,T,H,K] (Recurrence::gate); beta [B,T,H] with the delta rule, else absent.
struct ScanStreams : ScanBundle<Value> {
  double scale = 1;  // multiplies q
};

// The streams of a piece of the sequence, for kernels and messages. All have four dims (as_stream).
struct ScanTensors : ScanBundle<Tensor> {
  Tensor start;  // i32 [B,T]: where each token's document begins, counted from the piece's first token
  double scale = 1;
};

// [B,H,K,V]
template <class X>
Shape state_shape(const ScanBundle<X>& streams) {
  return {streams.q.size(0), streams.q.size(2), streams.q.size(3), streams.v.size(3)};
}

// Where the gradients of a piece's streams are stored; absent: not wanted.
using ScanTargets = ScanBundle<Slot::Target>;

// [B,T,H] as [B,T,H,1]: a number a head is a stream of width 1. What has four dims stays, what is absent too.
Tensor as_stream(const Tensor& x);
ScanTensors tensors_of(const ScanStreams& streams, const Tensor& start_BT);

// Programmer errors in shapes, types and placements. start_BT i32 [B,T]; initial_state [B,H,K,V] or absent.
void check_scan(const Recurrence& recurrence, const ScanStreams& streams, const Tensor& start_BT,
                const Value& initial_state);
// The place that the streams have together.
Placement place_of(const ScanStreams& streams);

// One flat tensor, A then B, so that both travel in one collective.
struct Summary {
  Tensor flat, a, b;  // [count], [B,H,n], [B,H,K,V]; a and b share flat's memory
  static Summary of(const Tensor& flat, const Shape& state, int64_t transition_size);
  static Summary empty(Context& cx, const Shape& state, int64_t transition_size, DType dtype);  // uninitialised
  static int64_t count(const Shape& state, int64_t transition_size);
};
// The summary of two neighbours as one piece; backward they hold C in the place of B.
Summary combine(Context& cx, const Summary& earlier, const Summary& later);
Summary combine_backward(Context& cx, const Summary& earlier, const Summary& later);
// A state + B, and A^T state + C: the fold from the left and, in backward, from the right. state absent: zero.
Tensor advance_state(Context& cx, const Summary& piece, const Tensor& state);
Tensor retreat_state(Context& cx, const Summary& piece, const Tensor& state);
// The same over a run of summaries, rows of maps [P, size], in one launch. shape [B,H,K,V]: the state's.
Tensor advance_states(Context& cx, const Shape& shape, const Tensor& maps, SummaryRun run, const Tensor& state);
Tensor retreat_states(Context& cx, const Shape& shape, const Tensor& maps, SummaryRun run, const Tensor& state);

// Normalised linear attention: v has a last column of ones (append_ones), so the last column of o is the sum of
// weights: o_j / (o_last + eps), [.., V + 1] -> [.., V]. Only for non-negative feature maps.
Value normalise_by_last(Tape& tape, const Value& o, double eps);

}  // namespace og

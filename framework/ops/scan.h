// Recurrence, streams, summaries: what parallel/sequence composes. A Recurrence belongs to a gate family, not to a
// mixer.
// A piece of the sequence is the affine map S_exit = A S_entry + B; its summary (A, B) has a fixed size, and summaries
// of neighbours combine associatively: (A_B A_A, A_B B_A + B_B), A earlier, B later. The carry says what A is.
// Streams [B, T, H, D], state [B, H, K, V], A [B, H, n].
#pragma once

#include "framework/autograd/tape.h"
#include "framework/kernels/scan.h"

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

struct ScanStreams {
  Value q{}, k{}, v{};  // [B,T,H,K], [B,T,H,K], [B,T,H,V]
  Value g{};            // natural logarithm of the gate, <= 0: absent, [B,T,H] or [B,T,H,K] (Recurrence::gate)
  Value beta{};         // [B,T,H] with the delta rule, else absent
  double scale = 1;     // multiplies q
};

// Programmer errors in shapes, types and placements. start_BT i32 [B,T]; initial_state [B,H,K,V] or absent.
void check_scan(const Recurrence& recurrence, const ScanStreams& streams, const Tensor& start_BT,
                const Value& initial_state);
// The place that the streams have together.
Placement place_of(const ScanStreams& streams);
// The kernels' view of the streams (tensors stay owned by the caller).
template <class T>
ScanInputs<T> scan_inputs(const Recurrence& recurrence, const Tensor& q, const Tensor& k, const Tensor& v,
                          const Tensor& g, const Tensor& beta, const Tensor& start_BT, double scale);

// One flat tensor, A then B, so that both travel in one collective.
struct Summary {
  Tensor flat, a, b;  // [count], [B,H,n], [B,H,K,V]; a and b share flat's memory
  static Summary of(const Tensor& flat, const Shape& state, int64_t transition_size);
  static int64_t count(const Shape& state, int64_t transition_size);
};
Summary combine(Context& cx, const Summary& earlier, const Summary& later);
// A state + B, and A^T state + C: the fold from the left and, in backward, from the right. state absent: zero.
Tensor advance_state(Context& cx, const Summary& piece, const Tensor& state);
Tensor retreat_state(Context& cx, const Summary& piece, const Tensor& state);

// A gate that depends on the head alone: log_decay[h] <= 0 for every token, [B,T,H], a constant of x's rows and place.
Value constant_gate(Tape& tape, const Value& x_BTHD, std::span<const double> log_decay);

// Normalised linear attention: v has a last column of ones (append_ones), so the last column of o is the sum of
// weights: o_j / (o_last + eps), [.., V + 1] -> [.., V]. Only for non-negative feature maps.
Value normalise_by_last(Tape& tape, const Value& o, double eps);

}  // namespace og

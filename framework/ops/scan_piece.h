// ScanPiece: the kernels of a scan over one piece of the sequence, called with tensors. A pass over the piece makes one
// object, which owns the pass's scratch memory, and calls the functions of its ScanCall in the order below. Tensors are
// absent where the kernels' views may be null (framework/kernels/scan.h, which says what each function computes).
#pragma once

#include "framework/ops/scan.h"

namespace og {

class ScanPiece {
 public:
  // The context outlives the piece.
  ScanPiece(Context& cx, const Recurrence& recurrence, const ScanTensors& streams, ScanCall call);

  // ScanCall::forward
  void forward(const Tensor& o, const Tensor& exit, const Tensor& entry) const;

  // ScanCall::phases: (A, B); then o without the entry state, in parts; then what the entry state adds to o.
  Summary summarise() const;
  void local(const Tensor& o, ScanRows rows) const;
  void finish(const Tensor& o, const Tensor& entry) const;

  // ScanCall::backward
  void backward(const ScanTargets& gradients, const Tensor& d_entry, const Tensor& d_o, const Tensor& entry,
                const Tensor& d_exit) const;

  // ScanCall::phases_backward: (A, C) with the A that forward found; then, in parts, what needs no gradient of the exit
  // state; then the gradients.
  Summary summarise_backward(const Tensor& a, const Tensor& d_o) const;
  void local_backward(const Tensor& d_o, const Tensor& entry, ScanRows rows) const;
  void finish_backward(const ScanTargets& gradients, const Tensor& d_o, const Tensor& entry,
                       const Tensor& d_exit) const;

 private:
  template <class F>
  void run(F&& f) const;
  Summary empty_summary() const;

  Context& cx_;
  Recurrence recurrence_;
  ScanTensors streams_;
  Tensor work_;
};

}  // namespace og

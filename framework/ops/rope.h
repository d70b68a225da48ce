// Rotary positions on the tape.
#pragma once

#include "framework/autograd/tape.h"

namespace og {

// x [B,T,H,D], D even; start_BT i32 [B,T] as in SeqContext: token t has position t - start in its document. Halves are
// paired as in Hugging Face checkpoints (arXiv 2104.09864).
Value rope(Tape& tape, const Value& x_BTHD, const Tensor& start_BT, double theta);

}  // namespace og

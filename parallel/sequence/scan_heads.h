// Linear layers by methods that come from softmax attention: every rank scans the whole sequence for a share of the
// heads, in the linear form.
//   ulysses   an all-to-all turns the streams from tokens into heads and another turns o back (arXiv 2309.14509)
//   megatron  every rank gathers the streams of all heads and a reduce_scatter brings o back (arXiv 2205.05198)
// Received by a rank, forward, of C tokens of a rank and n numbers a token (streams and o): ulysses C n (P - 1) / P,
// megatron C n (P - 1); as much backward. Both grow with the sequence, where states do not. A layer that runs again,
// under recompute or in the second run of a segment, moves them again (site recompute).
#pragma once

#include "parallel/sequence/scan.h"

namespace og {

// Any number of heads: shares differ by at most one and may be empty. Otherwise as scan() of parallel/sequence/scan.h.
ScanOutput scan_by_heads(Tape& tape, const Recurrence& recurrence, const ScanStreams& streams, const SeqContext& seq,
                         const Value& initial_state, bool wants_final_state);

}  // namespace og

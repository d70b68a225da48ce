// Softmax attention on the tape, on this rank's keys alone. Over a split sequence: parallel/sequence/attention.h.
#pragma once

#include "framework/autograd/tape.h"

namespace og {

struct AttentionOptions {
  double scale = 0;     // multiplies q.k; 0: 1 / sqrt(width of the keys)
  int64_t window = 0;   // keys a query sees, itself included; 0: all
  bool softmax = true;  // false: scores weight the values as they are (AttentionPiece)
};

// Causal: q [B,Q,H,K], k [B,N,G,K], v [B,N,G,V] -> [B,Q,H,V]; query head h reads key head h / (H / G).
// offset: the position of query 0 among the keys. start_BT i32 [B,Q] as in SeqContext (relative to query 0); absent:
// one document that began before every key. A query that sees no key gives 0.
Value attention(Tape& tape, const Value& q, const Value& k, const Value& v, const Tensor& start_BT, int64_t offset,
                const AttentionOptions& options);

// The scale that these options mean for keys of this width.
double attention_scale(const AttentionOptions& options, int64_t width);
// Programmer errors in the shapes, by name of the op.
void check_attention_shapes(const char* op, const Value& q, const Value& k, const Value& v, const Tensor& start_BT);

}  // namespace og

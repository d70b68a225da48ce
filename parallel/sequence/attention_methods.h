// What the methods of sequence_attention share. Full (not windowed) attention without a state, one function a method:
//
//   method         received per rank, forward                   backward
//   all_gather_kv  N (P - 1) / P rows of K and V                again, and as much of dK, dV
//   ring           the same, in P - 1 hops                      K, V in P - 1 hops, dK, dV in P
//   ulysses        C (P - 1) / P rows of q, k, v and o (heads)  the same
//   megatron       N (P - 1) / P rows of q, k, v and o          the same
//
// N tokens of a row, C = N / P of them on a rank.
#pragma once

#include "framework/kernels/attention.h"
#include "parallel/sequence/attention.h"
#include "parallel/sequence/head_exchange.h"

namespace og {

// Where the output goes: [B,T,H,V], with the place that q, k and v have together.
Value attention_output(Tape& tape, const Value& q, const Value& k, const Value& v);

Value gathered_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                         const SequenceAttentionOptions& options, const SeqContext& seq);
// Ring Attention (arXiv 2310.01889).
Value ring_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                     const SequenceAttentionOptions& options, const SeqContext& seq);
// DeepSpeed-Ulysses (arXiv 2309.14509), and Megatron-LM's sequence parallelism (arXiv 2205.05198) for a layer without
// its projections. Any number of heads: the shares of the ranks differ by at most one and may be empty.
Value ulysses_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                        const SequenceAttentionOptions& options, const SeqContext& seq);
Value megatron_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                         const SequenceAttentionOptions& options, const SeqContext& seq);

// Linear attention without a gate by left products, (Q K^T) V block by block without softmax: how the LASP-2 paper ran
// its rivals. By the linear method of seq.options. As many key heads as query heads, no earlier state.
Value left_product_attention(Tape& tape, const Value& q, const Value& k, const Value& v, double scale,
                             const SeqContext& seq);

// Rows in memory whose queries begin at the same place of their sequences: all of them in contiguous order, one by one
// in zigzag order.
struct RowGroup {
  int64_t begin, end;              // rows in memory
  int64_t batch_begin, batch_end;  // rows of the batch
  int shard;
  Tensor own(const Tensor& x) const { return x.defined() ? x.slice(begin, end) : x; }
  // x [B, S, ..]: the first `count` tokens of the batch's rows; without copying.
  Tensor first_tokens(const Tensor& x, int64_t count) const;
};
std::vector<RowGroup> row_groups(const SeqContext& seq);

// Queries with the result over the keys that they have met so far: o [B,T,H,V], lse [B,T,H].
struct Queries {
  Tensor q, o, lse;
  Queries of(const RowGroup& rows) const { return {rows.own(q), rows.own(o), rows.own(lse)}; }
};
Queries queries_of(Context& cx, const Value& q, const Value& o);  // lse not written yet
// Put::add: the result grows by these keys.
void attend(Context& cx, const Queries& x, Put put, const Tensor& k, const Tensor& v, const AttentionPiece& piece);
// With the result over all keys. Absent dq, dk, dv: not wanted.
void differentiate(Context& cx, const Queries& x, const Tensor& d_o, const Tensor& k, const Tensor& v,
                   const AttentionPiece& piece, const Slot::Target& dq, const Slot::Target& dk, const Slot::Target& dv);

}  // namespace og

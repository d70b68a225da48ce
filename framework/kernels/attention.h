// Causal softmax attention over a piece of the queries and a piece of the keys, with grouped heads, documents and a
// sliding window. B rows, Q queries, N keys, H query heads, G key heads, K and V the widths of keys and values.
//
// Query i sits at key position offset + i (offset may be any whole number, so that a shard's queries can read keys that
// another rank holds). It sees the keys j of its document up to itself:
//   max(0, offset + start_i, offset + i - window + 1) <= j < min(N, offset + i + 1)
// and o_i = sum_j p_ij v_j, p_ij = exp(scale q_i.k_j - lse_i), lse_i = log sum_j exp(scale q_i.k_j). A query that sees
// nothing has o = 0, lse = -infinity. The scores exist only block by block, never as [Q, N] (arXiv 2205.14135).
#pragma once

#include <algorithm>

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

struct AttentionPiece {
  View<const int32_t, 2> start{};  // [B, Q]: place of the first token of each query's document, relative to query 0;
                                   // null: one document that began before every key
  int64_t offset = 0;              // key position of query 0
  int64_t window = 0;              // how many keys a query sees, itself included; 0: all
  int64_t first_head = 0;          // key head g serves the query heads first_head + [g n, (g + 1) n),
  int64_t heads_per_key = 1;       // n; other query heads are left alone
  double scale = 1;
  // false: p_ij is the score itself, linear attention by left products (Q K^T) V: no maximum, no sum; lse is 0, and
  // sums over pieces of the keys add.
  bool softmax = true;
};

struct KeyRange {
  int64_t begin, end;
};
// The keys that query i of row b sees; empty: begin == end.
inline KeyRange visible_keys(const AttentionPiece& piece, int64_t b, int64_t i, int64_t num_keys) {
  const int64_t here = piece.offset + i;
  const int64_t end = std::clamp<int64_t>(here + 1, 0, num_keys);
  int64_t begin = piece.start ? piece.offset + piece.start(b, i) : 0;
  if (piece.window > 0) begin = std::max(begin, here + 1 - piece.window);
  return {std::clamp<int64_t>(begin, 0, end), end};
}

template <class T>
struct AttentionKernels {
  // o [B,Q,H,V], lse [B,Q,H], q [B,Q,H,K], k [B,N,G,K], v [B,N,G,V]. Put::add: o and lse hold the result over other
  // keys and become the result over those and these.
  void (*forward)(const Stream&, View<T, 4> o, View<T, 3> lse, Put put, View<const T, 4> q, View<const T, 4> k,
                  View<const T, 4> v, const AttentionPiece& piece);
  // With o and lse over all keys, whichever pieces they came in, and d_i = do_i.o_i:
  //   dS_ij = p_ij (do_i.v_j - d_i), dq_i = scale sum_j dS_ij k_j, dk_j = scale sum_i dS_ij q_i, dv_j = sum_i p_ij do_i
  // so gradients of pieces add. Null dq, dk or dv: not wanted.
  void (*backward)(const Stream&, View<T, 4> dq, Put put_dq, View<T, 4> dk, Put put_dk, View<T, 4> dv, Put put_dv,
                   View<const T, 4> d_o, View<const T, 4> q, View<const T, 4> k, View<const T, 4> v, View<const T, 4> o,
                   View<const T, 3> lse, const AttentionPiece& piece);
};

template <class T>
const AttentionKernels<T>& attention_ref();
OG_CPU_TABLE(AttentionKernels<float>, attention_table)
template <class T>
const AttentionKernels<T>& attention_kernels(const Stream& stream);

}  // namespace og

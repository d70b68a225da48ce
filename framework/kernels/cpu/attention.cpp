// Attention in blocks of up to 64 queries (positions times the query heads of one key head) by 64 keys. Everything is
// transposed: the queries of a block lie in the vector lanes, so that a row maximum is an elementwise maximum and keys
// and values are read as they lie, one element broadcast at a time.
// Operations: 2 (K + V) forward, 2 (3 K + 2 V) backward per visible (query, key) pair and head.
#include "framework/kernels/attention.h"

#include <cmath>
#include <limits>

#include "framework/kernels/cpu/block_product.h"

namespace og::OG_ISA {

namespace {

constexpr int64_t kBlock = 64;    // queries, and keys, of a block
constexpr int64_t kWidest = 256;  // widest keys and values; wider heads run in the reference
constexpr float kLowest = -1e30F;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool fits(int64_t width_k, int64_t width_v, const AttentionPiece& piece) {
  return width_k <= kWidest && width_v <= kWidest && piece.heads_per_key <= kBlock;
}

// Task x of n, reordered so that neighbouring tasks together have equal causal work: first, last, second, ...
int64_t head_tail(int64_t x, int64_t n) { return x % 2 == 0 ? x / 2 : n - 1 - x / 2; }

// The queries of a block: lane l is query position first + l / n, query head of the key head l % n.
struct Lanes {
  int64_t first, positions, count, padded;  // count = positions * n lanes are used of `padded` whole vectors
  int64_t keys_begin, keys_end;             // union of what they see
  int64_t all_begin, all_end;               // intersection: keys in here need no mask
  alignas(64) int32_t begin[kBlock + kLanes], end[kBlock + kLanes];

  Lanes(const AttentionPiece& piece, int64_t b, int64_t first_position, int64_t num_positions, int64_t num_keys)
      : first(first_position),
        positions(num_positions),
        count(num_positions * piece.heads_per_key),
        padded(whole_vectors(count)),
        keys_begin(num_keys),
        keys_end(0),
        all_begin(0),
        all_end(num_keys) {
    for (int64_t l = 0; l < padded; ++l) {
      begin[l] = 0;
      end[l] = std::numeric_limits<int32_t>::max();
    }
    for (int64_t p = 0; p < positions; ++p) {
      const KeyRange keys = visible_keys(piece, b, first + p, num_keys);
      all_begin = std::max(all_begin, keys.begin);
      all_end = std::min(all_end, keys.end);
      if (keys.begin < keys.end) {
        keys_begin = std::min(keys_begin, keys.begin);
        keys_end = std::max(keys_end, keys.end);
      }
      for (int64_t n = 0; n < piece.heads_per_key; ++n) {
        begin[p * piece.heads_per_key + n] = static_cast<int32_t>(keys.begin);
        end[p * piece.heads_per_key + n] = static_cast<int32_t>(keys.end);
      }
    }
  }
};

// Scores of keys a lane does not see become `unseen`: -infinity before a softmax. scores [keys, padded] of keys
// first_key ...
void mask(float* scores, int64_t num_keys, int64_t first_key, const Lanes& lanes, float unseen) {
  if (lanes.all_begin <= first_key && first_key + num_keys <= lanes.all_end) return;
  for (int64_t l = 0; l < lanes.padded; l += kLanes) {
    IntVec begin, end;
    std::memcpy(&begin, lanes.begin + l, sizeof begin);
    std::memcpy(&end, lanes.end + l, sizeof end);
    for (int64_t j = 0; j < num_keys; ++j) {
      const auto key = static_cast<int32_t>(first_key + j);
      const Vec s = load(scores + j * lanes.padded + l);
      const IntVec seen = (begin <= key) & (end > key);
      store(scores + j * lanes.padded + l, seen ? s : broadcast(unseen));
    }
  }
}

// out[d, l] = factor x(b, position, head, d): the lanes of a block of queries, transposed. Unused lanes are 0.
void transpose_in(float* out, View<const float, 4> x, int64_t b, int64_t first_head, const Lanes& lanes, float factor) {
  const int64_t width = x.shape[3], n = lanes.count / std::max<int64_t>(1, lanes.positions);
  for (int64_t l = 0; l < lanes.count; ++l) {
    const float* row = &x(b, lanes.first + l / n, first_head + l % n);
    for (int64_t d = 0; d < width; ++d) out[d * lanes.padded + l] = factor * row[d];
  }
  for (int64_t d = 0; d < width; ++d)
    for (int64_t l = lanes.count; l < lanes.padded; ++l) out[d * lanes.padded + l] = 0;
}

// out[l, d], rows padded with zeros to whole vectors.
void copy_in(float* out, View<const float, 4> x, int64_t b, int64_t first_head, const Lanes& lanes, float factor) {
  const int64_t width = x.shape[3], row = whole_vectors(width);
  const int64_t n = lanes.count / std::max<int64_t>(1, lanes.positions);
  for (int64_t l = 0; l < lanes.count; ++l) {
    const float* from = &x(b, lanes.first + l / n, first_head + l % n);
    float* to = out + l * row;
#pragma omp simd
    for (int64_t d = 0; d < width; ++d) to[d] = factor * from[d];
    for (int64_t d = width; d < row; ++d) to[d] = 0;
  }
}

// out[j, d] = x(b, first + j, g, d), rows padded with zeros to whole vectors.
void copy_keys(float* out, View<const float, 4> x, int64_t b, int64_t g, int64_t first, int64_t count) {
  const int64_t width = x.shape[3], row = whole_vectors(width);
  for (int64_t j = 0; j < count; ++j) {
    std::memcpy(out + j * row, &x(b, first + j, g), static_cast<size_t>(width) * sizeof(float));
    for (int64_t d = width; d < row; ++d) out[j * row + d] = 0;
  }
}

void forward_block(View<float, 4> o, View<float, 3> lse, Put put, View<const float, 4> q, View<const float, 4> k,
                   View<const float, 4> v, const AttentionPiece& piece, int64_t b, int64_t g, const Lanes& lanes) {
  const int64_t width_k = q.shape[3], width_v = v.shape[3], n = piece.heads_per_key, padded = lanes.padded;
  const int64_t head = piece.first_head + g * n, row_k = whole_vectors(width_k), row_v = whole_vectors(width_v);
  alignas(64) float queries[kWidest * kBlock], out[kWidest * kBlock], scores[kBlock * kBlock];
  alignas(64) float keys[kBlock * kWidest], values[kBlock * kWidest];
  alignas(64) float largest[kBlock], sum[kBlock];
  transpose_in(queries, q, b, head, lanes, static_cast<float>(piece.scale));
  for (int64_t l = 0; l < padded; ++l) {
    largest[l] = kLowest;
    sum[l] = 0;
  }
  if (put == Put::add) {
    transpose_in(out, o, b, head, lanes, 1);
    for (int64_t l = 0; l < lanes.count; ++l) {
      const float before = lse(b, lanes.first + l / n, head + l % n);
      if (before > kLowest) {
        largest[l] = before;
        sum[l] = 1;
      }
    }
  } else {
    std::memset(out, 0, static_cast<size_t>(width_v * padded) * sizeof(float));
  }

  for (int64_t first = lanes.keys_begin / kBlock * kBlock; first < lanes.keys_end; first += kBlock) {
    const int64_t count = std::min(kBlock, lanes.keys_end - first);
    copy_keys(keys, k, b, g, first, count);
    copy_keys(values, v, b, g, first, count);
    block_product<false>(count, padded, width_k, keys, row_k, 1, queries, padded, scores, padded);
    mask(scores, count, first, lanes, piece.softmax ? -kInfinity : 0);
    for (int64_t l = 0; piece.softmax && l < padded; l += kLanes) {
      const Vec before = load(largest + l);
      Vec top = before;
      for (int64_t j = 0; j < count; ++j) top = maximum(load(scores + j * padded + l), top);
      Vec total = Vec{};
      for (int64_t j = 0; j < count; ++j) {
        const Vec p = exponential(load(scores + j * padded + l) - top);
        store(scores + j * padded + l, p);
        total += p;
      }
      const Vec factor = exponential(before - top);
      store(largest + l, top);
      store(sum + l, load(sum + l) * factor + total);
      for (int64_t d = 0; d < width_v; ++d) store(out + d * padded + l, load(out + d * padded + l) * factor);
    }
    block_product<true>(width_v, padded, count, values, 1, row_v, scores, padded, out, padded);
  }

  for (int64_t l = 0; l < lanes.count; ++l) {
    const int64_t i = lanes.first + l / n, h = head + l % n;
    const float inverse = !piece.softmax ? 1 : sum[l] > 0 ? 1 / sum[l] : 0;
    float* row = &o(b, i, h);
    for (int64_t d = 0; d < width_v; ++d) row[d] = out[d * padded + l] * inverse;
    lse(b, i, h) = !piece.softmax ? 0 : sum[l] > 0 ? largest[l] + std::log(sum[l]) : -kInfinity;
  }
}

int64_t positions_of_block(const AttentionPiece& piece) { return std::max<int64_t>(1, kBlock / piece.heads_per_key); }

void forward(const Stream& stream, View<float, 4> o, View<float, 3> lse, Put put, View<const float, 4> q,
             View<const float, 4> k, View<const float, 4> v, const AttentionPiece& piece) {
  if (!fits(q.shape[3], v.shape[3], piece)) return attention_ref<float>().forward(stream, o, lse, put, q, k, v, piece);
  const int64_t positions = positions_of_block(piece), num_keys = k.shape[1];
  const int64_t blocks = (q.shape[1] + positions - 1) / positions;
  // Queries lie in vector lanes, of which a block has at least one whole vector.
  const int64_t queries = std::max<int64_t>(kLanes, std::min(positions, q.shape[1]) * piece.heads_per_key);
  const int64_t least = kProductsOfAThread / (queries * num_keys * (q.shape[3] + v.shape[3]) + 1) + 1;
  stream.parallel_for(q.shape[0] * k.shape[2] * blocks, least, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / blocks / k.shape[2], g = task / blocks % k.shape[2];
      const int64_t first = head_tail(task % blocks, blocks) * positions;
      const Lanes lanes(piece, b, first, std::min(positions, q.shape[1] - first), num_keys);
      if (put == Put::add && lanes.keys_begin >= lanes.keys_end) continue;
      forward_block(o, lse, put, q, k, v, piece, b, g, lanes);
    }
  });
}

struct BackwardArguments {
  View<float, 4> dq;
  Put put_dq;
  View<float, 4> dk, dv;
  View<const float, 4> d_o, q, k, v, o;
  View<const float, 3> lse;
  const AttentionPiece& piece;
};

// x(b, first + j, g, d) += tile[j, d]
void add_keys(View<float, 4> x, int64_t b, int64_t g, int64_t first, int64_t count, const float* tile) {
  const int64_t width = x.shape[3], row = whole_vectors(width);
  for (int64_t j = 0; j < count; ++j) {
    float* to = &x(b, first + j, g);
    const float* from = tile + j * row;
#pragma omp simd
    for (int64_t d = 0; d < width; ++d) to[d] += from[d];
  }
}

// The pairs of one block of queries with keys [keys.begin, keys.end). want_q: sets or adds dq of these queries (needs
// all keys); want_k: adds to dk and dv.
void backward_block(const BackwardArguments& x, int64_t b, int64_t g, const Lanes& lanes, KeyRange range, bool want_q,
                    bool want_k) {
  const int64_t width_k = x.q.shape[3], width_v = x.v.shape[3], n = x.piece.heads_per_key, padded = lanes.padded;
  const int64_t head = x.piece.first_head + g * n, row_k = whole_vectors(width_k), row_v = whole_vectors(width_v);
  const auto scale = static_cast<float>(x.piece.scale);
  alignas(64) float queries[kWidest * kBlock], query_rows[kBlock * kWidest];
  alignas(64) float outs[kWidest * kBlock], out_rows[kBlock * kWidest];
  alignas(64) float dq[kBlock * kWidest], tile[kBlock * kWidest];
  alignas(64) float keys[kBlock * kWidest], values[kBlock * kWidest];
  alignas(64) float p[kBlock * kBlock], ds[kBlock * kBlock], lse[kBlock], mean[kBlock];
  transpose_in(queries, x.q, b, head, lanes, scale);
  transpose_in(outs, x.d_o, b, head, lanes, 1);
  if (want_k) {
    copy_in(query_rows, x.q, b, head, lanes, scale);
    copy_in(out_rows, x.d_o, b, head, lanes, 1);
  }
  if (want_q) std::memset(dq, 0, static_cast<size_t>(lanes.count * row_k) * sizeof(float));
  for (int64_t l = 0; l < padded; ++l) lse[l] = mean[l] = 0;
  for (int64_t l = 0; l < lanes.count; ++l) {
    const int64_t i = lanes.first + l / n, h = head + l % n;
    const float value = x.lse(b, i, h);
    lse[l] = value > kLowest ? value : 0;
    const float* d_o = &x.d_o(b, i, h);
    const float* o = &x.o(b, i, h);
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t d = 0; d < width_v; ++d) dot += d_o[d] * o[d];
    mean[l] = dot;
  }

  const int64_t last = std::min(range.end, lanes.keys_end);
  for (int64_t first = std::max(range.begin, lanes.keys_begin / kBlock * kBlock); first < last; first += kBlock) {
    const int64_t count = std::min(kBlock, last - first);
    copy_keys(keys, x.k, b, g, first, count);
    copy_keys(values, x.v, b, g, first, count);
    block_product<false>(count, padded, width_k, keys, row_k, 1, queries, padded, p, padded);
    block_product<false>(count, padded, width_v, values, row_v, 1, outs, padded, ds, padded);
    mask(p, count, first, lanes, x.piece.softmax ? -kInfinity : 0);
    if (!x.piece.softmax) mask(ds, count, first, lanes, 0);
    for (int64_t l = 0; x.piece.softmax && l < padded; l += kLanes) {
      const Vec shift = load(lse + l), center = load(mean + l);
      for (int64_t j = 0; j < count; ++j) {
        const Vec value = exponential(load(p + j * padded + l) - shift);
        store(p + j * padded + l, value);
        store(ds + j * padded + l, value * (load(ds + j * padded + l) - center));
      }
    }
    if (want_k && x.dv) {
      block_product<false>(count, row_v, lanes.count, p, padded, 1, out_rows, row_v, tile, row_v);
      add_keys(x.dv, b, g, first, count, tile);
    }
    if (want_k && x.dk) {
      block_product<false>(count, row_k, lanes.count, ds, padded, 1, query_rows, row_k, tile, row_k);
      add_keys(x.dk, b, g, first, count, tile);
    }
    if (want_q) block_product<true>(lanes.count, row_k, count, ds, 1, padded, keys, row_k, dq, row_k);
  }

  if (!want_q) return;
  for (int64_t l = 0; l < lanes.count; ++l) {
    float* to = &x.dq(b, lanes.first + l / n, head + l % n);
    const float* from = dq + l * row_k;
    if (x.put_dq == Put::add) {
#pragma omp simd
      for (int64_t d = 0; d < width_k; ++d) to[d] += scale * from[d];
    } else {
#pragma omp simd
      for (int64_t d = 0; d < width_k; ++d) to[d] = scale * from[d];
    }
  }
}

void clear_keys(View<float, 4> x, int64_t b, int64_t g, KeyRange range) {
  for (int64_t j = range.begin; j < range.end; ++j)
    std::memset(&x(b, j, g), 0, static_cast<size_t>(x.shape[3]) * sizeof(float));
}

void backward(const Stream& stream, View<float, 4> dq, Put put_dq, View<float, 4> dk, Put put_dk, View<float, 4> dv,
              Put put_dv, View<const float, 4> d_o, View<const float, 4> q, View<const float, 4> k,
              View<const float, 4> v, View<const float, 4> o, View<const float, 3> lse, const AttentionPiece& piece) {
  if (!fits(q.shape[3], v.shape[3], piece))
    return attention_ref<float>().backward(stream, dq, put_dq, dk, put_dk, dv, put_dv, d_o, q, k, v, o, lse, piece);
  const BackwardArguments x{dq, put_dq, dk, dv, d_o, q, k, v, o, lse, piece};
  const int64_t groups = k.shape[2], pairs = q.shape[0] * groups, num_keys = k.shape[1], num_queries = q.shape[1];
  const int64_t positions = positions_of_block(piece);
  const int64_t query_blocks = (num_queries + positions - 1) / positions;

  const auto walk = [&](int64_t b, int64_t g, KeyRange range, bool want_q) {
    if (dk && put_dk == Put::write) clear_keys(dk, b, g, range);
    if (dv && put_dv == Put::write) clear_keys(dv, b, g, range);
    for (int64_t first = 0; first < num_queries; first += positions) {
      const Lanes lanes(piece, b, first, std::min(positions, num_queries - first), num_keys);
      if (!want_q && (lanes.keys_end <= range.begin || range.end <= lanes.keys_begin)) continue;
      backward_block(x, b, g, lanes, range, want_q, dk || dv);
    }
  };
  // One walk computes all three, a row and key head at a time. With more threads than those, two walks: keys are
  // divided over the threads for dk and dv, then queries for dq; no two threads write the same rows either way.
  if (pairs >= stream.num_threads || num_keys <= kBlock) {
    stream.parallel_for(pairs, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) walk(task / groups, task % groups, {0, num_keys}, bool(dq));
    });
    return;
  }
  const int64_t key_blocks = (num_keys + kBlock - 1) / kBlock;
  if (dk || dv)
    stream.parallel_for(pairs * key_blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t pair = task / key_blocks, first = head_tail(task % key_blocks, key_blocks) * kBlock;
        walk(pair / groups, pair % groups, {first, std::min(first + kBlock, num_keys)}, false);
      }
    });
  if (dq)
    stream.parallel_for(pairs * query_blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t b = task / query_blocks / groups, g = task / query_blocks % groups;
        const int64_t first = head_tail(task % query_blocks, query_blocks) * positions;
        const Lanes lanes(piece, b, first, std::min(positions, num_queries - first), num_keys);
        backward_block(x, b, g, lanes, {0, num_keys}, true, false);
      }
    });
}

}  // namespace

const AttentionKernels<float>& attention_table() {
  static const AttentionKernels<float> table{.forward = forward, .backward = backward};
  return table;
}

}  // namespace og::OG_ISA

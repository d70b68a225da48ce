// One chunk of a recurrence as small matrix products, for any arithmetic M (PlainMath, in ref/scan_chunked.cpp, says
// what its functions do). Chunks never cross a document start, so nothing in here masks documents.
//
// With b_i the sum of the chunk's gates up to token i, b_end over all: E_ij = exp(b_i - b_j) for j <= i. No exponent is
// a difference of running sums: scalar gates sum the gates between j and i; diagonal gates work in blocks of 16 tokens,
// exp(tail of j's block) * exp(totals of the blocks between) * exp(head of i's block), and inside a block multiply the
// decays one by one. All exponents are <= 0. (Gated Linear Attention, arXiv 2312.06635; Gated DeltaNet, 2412.06464.)
// Rows are padded to a multiple of kPad with zeros; K', V', c' below are padded.
#pragma once

#include <algorithm>

#include "framework/kernels/scan.h"

namespace og {

enum class Sum : unsigned char { set, add, subtract };

template <class M>
struct ChunkScratch {
  using T = typename M::T;
  static constexpr int64_t kBlock = 16;

  int64_t K = 0, V = 0, Kp = 0, Vp = 0, cp = 0;
  bool diagonal = false, delta = false;
  int64_t n = 0;  // tokens in the current chunk

  T *q, *k, *kd, *kg, *qg, *dq, *dkr, *dk, *w;                        // [c', K']
  T *v, *u, *o, *dout, *error;                                        // [c', V']
  T *P, *L, *dP, *dL, *E;                                             // [c', c']
  T *S, *D, *next;                                                    // [K, V']
  T *A, *WA;                                                          // [K, K'], [c', K'] (delta)
  T* turned;                                                          // a transposed operand
  T *head, *tail, *logs, *beta;                                       // [c']
  T *total, *run;                                                     // [K']: exp(b_end); a running product
  T *decay, *in_head, *in_tail, *to_begin, *to_end, *mixed, *scaled;  // [c', K'] (diagonal gates)
  T* block_total;                                                     // [c'/16, K']

  static int64_t pad(int64_t x) { return (x + M::kPad - 1) / M::kPad * M::kPad; }

  // Lays the buffers out from base; returns how many elements they take. base null: only counts.
  int64_t carve(T* base, const ScanInputs<T>& in) {
    K = in.key_size(), V = in.value_size(), Kp = pad(K), Vp = pad(V);
    cp = pad(std::max<int64_t>(1, std::min(in.chunk, in.tokens())));
    diagonal = in.diagonal() && K > 1, delta = static_cast<bool>(in.beta);
    int64_t used = 0;
    const auto take = [&](T*& p, int64_t count) {
      p = base ? base + used : nullptr;
      used += (count + 15) / 16 * 16;
    };
    for (T** p : {&q, &k, &kd, &kg, &qg, &dq, &dkr, &dk, &w}) take(*p, cp * Kp);
    for (T** p : {&v, &u, &o, &dout, &error}) take(*p, cp * Vp);
    for (T** p : {&P, &L, &dP, &dL, &E}) take(*p, cp * cp);
    for (T** p : {&S, &D, &next}) take(*p, K * Vp);
    take(A, delta ? K * Kp : 0), take(WA, delta ? cp * Kp : 0);
    take(turned, std::max({K * cp, V * cp, V * Kp}));
    for (T** p : {&head, &tail, &logs, &beta}) take(*p, cp);
    take(total, Kp), take(run, Kp);
    for (T** p : {&decay, &in_head, &in_tail, &to_begin, &to_end, &mixed, &scaled}) take(*p, diagonal ? cp * Kp : 0);
    take(block_total, diagonal ? (cp / kBlock + 1) * Kp : 0);
    return used;
  }

  int64_t blocks() const { return (n + kBlock - 1) / kBlock; }
  int64_t begin_of(int64_t block) const { return block * kBlock; }
  int64_t end_of(int64_t block) const { return std::min(n, (block + 1) * kBlock); }

  // out [columns, ld] = x^T, x [rows, ld_x]; rows padded with zeros.
  const T* turn(const T* x, int64_t rows, int64_t columns, int64_t ld_x, int64_t ld) const {
    M::transpose(turned, ld, x, ld_x, rows, columns, pad(rows));
    return turned;
  }

  // Rows of a stream [tokens, heads, width] into [c', padded].
  static void load(T* to, const T* from, int64_t rows, int64_t stride, int64_t width, int64_t padded, T factor) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < width; ++j) to[i * padded + j] = factor * from[i * stride + j];
      for (int64_t j = width; j < padded; ++j) to[i * padded + j] = 0;
    }
  }

  void load_gates(const ScanInputs<T>& in, int64_t b, int64_t t, int64_t h) {
    if (diagonal) {
      load(decay, &in.g(b, t, h), n, in.heads() * K, K, Kp, T{1});
      diagonal_factors();
      return;
    }
    for (int64_t i = 0; i < n; ++i) logs[i] = in.g ? in.g(b, t + i, h, int64_t{0}) : T{0};
    scalar_factors();
  }

  void scalar_factors() {
    T sum = 0;
    for (int64_t i = n - 1; i >= 0; --i) tail[i] = sum, sum += logs[i];
    const T all = sum;
    sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += logs[i], head[i] = sum;
    for (int64_t i = 0; i < n; ++i) {  // E_ij = the sum of the gates after j up to i, from the row above
      T* row = E + i * cp;
      const T* above = row - cp;
      for (int64_t j = 0; j < i; ++j) row[j] = above[j] + logs[i];
      row[i] = 0;
    }
    for (int64_t i = 0; i < n; ++i) {
      M::exp(E + i * cp, i + 1);
      std::fill(E + i * cp + i + 1, E + (i + 1) * cp, T{0});
    }
    M::exp(head, n), M::exp(tail, n);
    std::fill(total, total + Kp, all);
    M::exp(total, Kp);
  }

  void diagonal_factors() {
    for (int64_t I = 0; I < blocks(); ++I) {
      T* sum = block_total + I * Kp;
      std::fill(sum, sum + Kp, T{0});
      for (int64_t i = end_of(I) - 1; i >= begin_of(I); --i)
        for (int64_t c = 0; c < Kp; ++c) in_tail[i * Kp + c] = sum[c], sum[c] += decay[i * Kp + c];
      std::fill(run, run + Kp, T{0});
      for (int64_t i = begin_of(I); i < end_of(I); ++i)
        for (int64_t c = 0; c < Kp; ++c) run[c] += decay[i * Kp + c], in_head[i * Kp + c] = run[c];
    }
    M::exp(decay, n * Kp), M::exp(in_head, n * Kp), M::exp(in_tail, n * Kp), M::exp(block_total, blocks() * Kp);
    std::fill(run, run + Kp, T{1});
    for (int64_t I = 0; I < blocks(); ++I) {
      multiply_rows(to_begin, in_head, begin_of(I), end_of(I), run);
      for (int64_t c = 0; c < Kp; ++c) run[c] *= block_total[I * Kp + c];
    }
    std::copy(run, run + Kp, total);
    std::fill(run, run + Kp, T{1});
    for (int64_t I = blocks() - 1; I >= 0; --I) {
      multiply_rows(to_end, in_tail, begin_of(I), end_of(I), run);
      for (int64_t c = 0; c < Kp; ++c) run[c] *= block_total[I * Kp + c];
    }
  }

  // out_i = x_i * factor, rows [begin, end) of [c', K'].
  void multiply_rows(T* out, const T* x, int64_t begin, int64_t end, const T* factor) const {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t c = 0; c < Kp; ++c) out[i * Kp + c] = x[i * Kp + c] * factor[c];
  }
  void multiply(T* out, const T* x, const T* y) const {
    for (int64_t i = 0; i < n * Kp; ++i) out[i] = x[i] * y[i];
  }
  void multiply_by_row(T* out, const T* x, const T* factor) const {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t c = 0; c < Kp; ++c) out[i * Kp + c] = x[i * Kp + c] * factor[i];
  }
  // out_i = x_i exp(b_i): as seen from the chunk's beginning.
  void from_begin(T* out, const T* x) const { diagonal ? multiply(out, x, to_begin) : multiply_by_row(out, x, head); }
  // out_i = x_i exp(b_end - b_i): what is left of it at the chunk's end.
  void until_end(T* out, const T* x) const { diagonal ? multiply(out, x, to_end) : multiply_by_row(out, x, tail); }

  // X_ij = sum_c x_ic y_jc E_ijc for j <= i, 0 above the diagonal inside blocks.
  void scores(T* X, const T* x, const T* y) {
    if (!diagonal) {
      pairs(X, x, y, K, Kp);
      weigh(X);
      return;
    }
    multiply(mixed, x, in_head);
    multiply(scaled, y, in_tail);
    T* columns = turned;  // y decayed to the beginning of block I, [K, c']
    turn(scaled, n, K, Kp, cp);
    for (int64_t I = 0; I < blocks(); ++I) {
      const int64_t begin = begin_of(I), end = end_of(I);
      for (int64_t i = begin; i < end; ++i) std::fill(X + i * cp + begin, X + i * cp + pad(end), T{0});
      if (I > 0) {
        for (int64_t c = 0; c < K; ++c) {
          const T factor = block_total[(I - 1) * Kp + c];
          for (int64_t j = 0; j < begin - kBlock; ++j) columns[c * cp + j] *= factor;
        }
        M::product(end - begin, begin, K, mixed + begin * Kp, Kp, 1, columns, cp, X + begin * cp, cp, Sum::set);
      }
      M::block_scores(X + begin * cp + begin, cp, x + begin * Kp, y + begin * Kp, decay + begin * Kp, Kp, end - begin);
    }
  }

  // X_ij = x_i . y_j, block by block on and below the diagonal.
  void pairs(T* X, const T* x, const T* y, int64_t width, int64_t padded) const {
    const T* columns = turn(y, n, width, padded, cp);
    for (int64_t I = 0; I < blocks(); ++I)
      M::product(end_of(I) - begin_of(I), pad(end_of(I)), width, x + begin_of(I) * padded, padded, 1, columns, cp,
                 X + begin_of(I) * cp, cp, Sum::set);
  }
  // Scalar gates: X_ij *= E_ij, which is 0 above the diagonal. Diagonal gates enter in row_sums and column_sums.
  void weigh(T* X) const {
    if (diagonal) return;
    for (int64_t I = 0; I < blocks(); ++I)
      for (int64_t i = begin_of(I); i < end_of(I); ++i)
        for (int64_t j = 0; j < pad(end_of(I)); ++j) X[i * cp + j] *= E[i * cp + j];
  }
  void clear_diagonal(T* X) const {
    for (int64_t i = 0; i < n; ++i) X[i * cp + i] = 0;
  }

  // out = X y and out = X^T y with X lower triangular, rows of `padded` elements.
  void lower(T* out, const T* X, const T* y, int64_t padded, Sum sum) const {
    for (int64_t I = 0; I < blocks(); ++I)
      M::product(end_of(I) - begin_of(I), padded, end_of(I), X + begin_of(I) * cp, cp, 1, y, padded,
                 out + begin_of(I) * padded, padded, sum);
  }
  void lower_transposed(T* out, const T* X, const T* y, int64_t padded, Sum sum) const {
    for (int64_t J = 0; J < blocks(); ++J) {
      const int64_t begin = begin_of(J);
      M::product(end_of(J) - begin, padded, n - begin, X + begin * cp + begin, 1, cp, y + begin * padded, padded,
                 out + begin * padded, padded, sum);
    }
  }

  // out_ic += sum_{j <= i} X_ij y_jc E_ijc; X weighed.
  void row_sums(T* out, const T* X, const T* y) {
    if (!diagonal) return lower(out, X, y, Kp, Sum::add);
    multiply(scaled, y, in_tail);
    for (int64_t I = 0; I < blocks(); ++I) {
      const int64_t begin = begin_of(I), end = end_of(I);
      if (I > 0) {
        multiply_rows(scaled, scaled, 0, begin - kBlock, block_total + (I - 1) * Kp);
        M::product(end - begin, Kp, begin, X + begin * cp, cp, 1, scaled, Kp, mixed, Kp, Sum::set);
        for (int64_t i = 0; i < (end - begin) * Kp; ++i) out[begin * Kp + i] += in_head[begin * Kp + i] * mixed[i];
      }
      M::block_rows(out + begin * Kp, X + begin * cp + begin, cp, y + begin * Kp, decay + begin * Kp, Kp, end - begin);
    }
  }

  // out_jc += sum_{i >= j} X_ij y_ic E_ijc; X weighed.
  void column_sums(T* out, const T* X, const T* y) {
    if (!diagonal) return lower_transposed(out, X, y, Kp, Sum::add);
    std::fill(scaled, scaled + n * Kp, T{0});
    multiply(mixed, y, in_head);
    for (int64_t I = blocks() - 1; I >= 0; --I) {
      const int64_t begin = begin_of(I), end = end_of(I);
      multiply_rows(scaled, scaled, 0, begin, block_total + I * Kp);
      M::product(begin, Kp, end - begin, X + begin * cp, 1, cp, mixed + begin * Kp, Kp, scaled, Kp, Sum::add);
      M::block_columns(out + begin * Kp, X + begin * cp + begin, cp, y + begin * Kp, decay + begin * Kp, Kp,
                       end - begin);
    }
    for (int64_t i = 0; i < n * Kp; ++i) out[i] += in_tail[i] * scaled[i];
  }

  // In place: r = M^-1 Diag(beta) r with M = I + Diag(beta) L, by substitution. error (may be null): r / beta.
  void solve(T* r, int64_t padded, T* errors) const {
    for (int64_t I = 0; I < blocks(); ++I) {
      const int64_t begin = begin_of(I), end = end_of(I);
      M::product(end - begin, padded, begin, L + begin * cp, cp, 1, r, padded, r + begin * padded, padded,
                 Sum::subtract);
      for (int64_t i = begin; i < end; ++i) {
        T* to = r + i * padded;
        for (int64_t j = begin; j < i; ++j) {
          const T x = L[i * cp + j];
          const T* from = r + j * padded;
          for (int64_t c = 0; c < padded; ++c) to[c] -= x * from[c];
        }
        if (errors) std::copy(to, to + padded, errors + i * padded);
        for (int64_t c = 0; c < padded; ++c) to[c] *= beta[i];
      }
    }
  }
  // In place: r = Diag(beta) M^-T r. dbeta_i = (M^-T r)_i . errors_i (null: not wanted).
  void solve_transposed(T* r, int64_t padded, const T* errors, T* dbeta) const {
    for (int64_t I = blocks() - 1; I >= 0; --I) {
      const int64_t begin = begin_of(I), end = end_of(I);
      M::product(end - begin, padded, n - end, L + end * cp + begin, 1, cp, r + end * padded, padded,
                 r + begin * padded, padded, Sum::subtract);
      for (int64_t j = end - 1; j >= begin; --j) {
        T* from = r + j * padded;
        if (dbeta) dbeta[j] = M::dot(from, errors + j * padded, padded);
        for (int64_t c = 0; c < padded; ++c) from[c] *= beta[j];
        for (int64_t i = begin; i < j; ++i) {
          const T x = L[j * cp + i];
          T* to = r + i * padded;
          for (int64_t c = 0; c < padded; ++c) to[c] -= x * from[c];
        }
      }
    }
  }

  // state [K, V'] = Diag(exp(b_end)) state + written^T values, the state after the chunk.
  void advance(T* state, const T* written, const T* values) const {
    decay_state(state, Vp);
    M::product(K, Vp, n, written, 1, Kp, values, Vp, state, Vp, Sum::add);
  }
  void decay_state(T* state, int64_t padded) const {
    for (int64_t c = 0; c < K; ++c)
      for (int64_t j = 0; j < padded; ++j) state[c * padded + j] *= total[c];
  }
};

}  // namespace og

#include "framework/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace og {

namespace {

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  T sum = 0;
  for (int64_t d = 0; d < n; ++d) sum += a[d] * b[d];
  return sum;
}

template <class T>
void forward(const Stream&, View<T, 4> o, View<T, 3> lse, Put put, View<const T, 4> q, View<const T, 4> k,
             View<const T, 4> v, const AttentionPiece& piece) {
  const int64_t width_k = q.shape[3], width_v = v.shape[3];
  const T scale = static_cast<T>(piece.scale);
  for (int64_t b = 0; b < q.shape[0]; ++b) {
    for (int64_t i = 0; i < q.shape[1]; ++i) {
      const KeyRange keys = visible_keys(piece, b, i, k.shape[1]);
      for (int64_t g = 0; g < k.shape[2]; ++g) {
        for (int64_t n = 0; n < piece.heads_per_key; ++n) {
          const int64_t h = piece.first_head + g * piece.heads_per_key + n;
          T* out = &o(b, i, h);
          if (!piece.softmax) {
            if (put == Put::write) std::fill_n(out, width_v, T{0});
            for (int64_t j = keys.begin; j < keys.end; ++j) {
              const T score = scale * dot(&q(b, i, h), &k(b, j, g), width_k);
              for (int64_t d = 0; d < width_v; ++d) out[d] += score * v(b, j, g, d);
            }
            lse(b, i, h) = 0;
            continue;
          }
          // Online softmax: the largest score so far, the sum of exp(score - largest), the sum of exp(..) v in `out`.
          T largest = -std::numeric_limits<T>::infinity(), sum = 0;
          if (put == Put::add && std::isfinite(lse(b, i, h))) {
            largest = lse(b, i, h);
            sum = 1;
          } else {
            for (int64_t d = 0; d < width_v; ++d) out[d] = 0;
          }
          for (int64_t j = keys.begin; j < keys.end; ++j) {
            const T score = scale * dot(&q(b, i, h), &k(b, j, g), width_k);
            if (score > largest) {
              const T factor = std::exp(largest - score);
              sum *= factor;
              for (int64_t d = 0; d < width_v; ++d) out[d] *= factor;
              largest = score;
            }
            const T p = std::exp(score - largest);
            sum += p;
            for (int64_t d = 0; d < width_v; ++d) out[d] += p * v(b, j, g, d);
          }
          if (sum > 0)
            for (int64_t d = 0; d < width_v; ++d) out[d] /= sum;
          lse(b, i, h) = largest + std::log(sum);
        }
      }
    }
  }
}

// Zeroes the heads that this call owns of dq, and all of dk and dv, where they are to be written.
template <class T>
void clear(View<T, 4> x, Put put, int64_t first_head, int64_t num_heads) {
  if (!x || put == Put::add) return;
  for (int64_t b = 0; b < x.shape[0]; ++b)
    for (int64_t t = 0; t < x.shape[1]; ++t)
      for (int64_t h = first_head; h < first_head + num_heads; ++h)
        for (int64_t d = 0; d < x.shape[3]; ++d) x(b, t, h, d) = 0;
}

template <class T>
void backward(const Stream&, View<T, 4> dq, Put put_dq, View<T, 4> dk, Put put_dk, View<T, 4> dv, Put put_dv,
              View<const T, 4> d_o, View<const T, 4> q, View<const T, 4> k, View<const T, 4> v, View<const T, 4> o,
              View<const T, 3> lse, const AttentionPiece& piece) {
  const int64_t width_k = q.shape[3], width_v = v.shape[3];
  const T scale = static_cast<T>(piece.scale);
  clear(dq, put_dq, piece.first_head, k.shape[2] * piece.heads_per_key);
  clear(dk, put_dk, 0, k.shape[2]);
  clear(dv, put_dv, 0, k.shape[2]);
  for (int64_t b = 0; b < q.shape[0]; ++b) {
    for (int64_t i = 0; i < q.shape[1]; ++i) {
      const KeyRange keys = visible_keys(piece, b, i, k.shape[1]);
      for (int64_t g = 0; g < k.shape[2]; ++g) {
        for (int64_t n = 0; n < piece.heads_per_key; ++n) {
          const int64_t h = piece.first_head + g * piece.heads_per_key + n;
          const T mean = dot(&d_o(b, i, h), &o(b, i, h), width_v);
          for (int64_t j = keys.begin; j < keys.end; ++j) {
            const T score = scale * dot(&q(b, i, h), &k(b, j, g), width_k);
            const T dp = dot(&d_o(b, i, h), &v(b, j, g), width_v);
            const T p = piece.softmax ? std::exp(score - lse(b, i, h)) : score;
            const T ds = scale * (piece.softmax ? p * (dp - mean) : dp);
            if (dq)
              for (int64_t d = 0; d < width_k; ++d) dq(b, i, h, d) += ds * k(b, j, g, d);
            if (dk)
              for (int64_t d = 0; d < width_k; ++d) dk(b, j, g, d) += ds * q(b, i, h, d);
            if (dv)
              for (int64_t d = 0; d < width_v; ++d) dv(b, j, g, d) += p * d_o(b, i, h, d);
          }
        }
      }
    }
  }
}

}  // namespace

template <class T>
const AttentionKernels<T>& attention_ref() {
  static constexpr AttentionKernels<T> table{.forward = forward<T>, .backward = backward<T>};
  return table;
}
template const AttentionKernels<float>& attention_ref<float>();
template const AttentionKernels<double>& attention_ref<double>();

}  // namespace og

// The loops of SummaryKernels for any arithmetic M (PlainProduct says what its functions do).
#pragma once

#include <algorithm>
#include <utility>

#include "framework/kernels/summary.h"

namespace og {

// Compiled once, without the options of an instruction set: numbers a head and odd sizes have the same bits everywhere.
template <class Element>
struct PlainProduct {
  using T = Element;
  // to += A s or A^T s; A [K, K], s and to [K, V].
  template <bool kTransposed>
  static void add_product(T* to, const T* a, const T* s, int64_t K, int64_t V);
  // The same with A diagonal: n = 1 number for all rows, or K.
  static void add_scaled(T* to, const T* a, int64_t n, const T* s, int64_t K, int64_t V);
};

template <class M>
struct SummaryLoops {
  using T = typename M::T;

  // For one row of the batch and head: to = A s + b, where b has rows of ldb. s null: b alone; b null: zero.
  template <bool kTransposed>
  static void pass(T* to, const T* a, int64_t n, const T* s, const T* b, int64_t ldb, int64_t K, int64_t V) {
    for (int64_t c = 0; c < K; ++c)
      if (b) {
        std::copy_n(b + c * ldb, V, to + c * V);
      } else {
        std::fill_n(to + c * V, V, T{0});
      }
    if (!s) return;
    if (n == 1 || n == K) return M::add_scaled(to, a, n, s, K, V);  // for K = 1 a matrix is a number too
    M::template add_product<kTransposed>(to, a, s, K, V);
  }

  // Rows and heads that are worth a thread, each with `maps` passes.
  static int64_t least(int64_t maps, int64_t n, int64_t K, int64_t V) {
    return kProductsOfAThread / (maps * (n > K ? K : 1) * K * V + 1) + 1;
  }

  template <bool kTransposed>
  static void fold(const Stream& stream, View<T, 4> out, View<T, 1> work, View<const T, 2> maps, SummaryRun run,
                   View<const T, 4> state) {
    const int64_t heads = out.shape[0] * out.shape[1], K = out.shape[2], V = out.shape[3], size = K * V;
    if (heads == 0) return;
    const int64_t columns = run.value_size > 0 ? run.value_size : V, n = maps.shape[1] / heads - K * columns;
    stream.parallel_for(heads, least(run.count, n, K, V), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* s = state ? state.data + i * size : nullptr;
        // The states lie in `out` and `work` in turn, the last in `out`.
        T *to = out.data + i * size, *next = work ? work.data + i * size : nullptr;
        if (run.count % 2 == 0) std::swap(to, next);
        for (int64_t m = 0; m < run.count; ++m) {
          const T* map = &maps(run.first + m * run.step);
          const T* b = map + heads * n + i * K * columns + run.column;
          pass<kTransposed>(to, map + i * n, n, s, b, columns, K, V);
          s = to;
          std::swap(to, next);
        }
      }
    });
  }

  template <bool kBackward>
  static void compose(const Stream& stream, View<T, 1> out, View<const T, 1> earlier, View<const T, 1> later,
                      std::array<int64_t, 4> state) {
    const int64_t heads = state[0] * state[1], K = state[2], V = state[3], size = K * V;
    if (heads == 0) return;
    const int64_t n = out.shape[0] / heads - size;
    // Backward the later piece is met first.
    const auto [first, then] = kBackward ? std::pair(later, earlier) : std::pair(earlier, later);
    const bool matrix = n != 1 && n != K;
    stream.parallel_for(heads, least(2, n, K, V), [&, first = first, then = then](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto a = [&](const auto& map) { return map.data + i * n; };
        const auto b = [&](const auto& map) { return map.data + heads * n + i * size; };
        // A2 A1: a state of K columns; numbers are n states of one.
        pass<false>(a(out), a(later), n, a(earlier), nullptr, 0, matrix ? K : n, matrix ? K : 1);
        pass<kBackward>(b(out), a(then), n, b(first), b(then), V, K, V);
      }
    });
  }

  static constexpr SummaryKernels<T> table() {
    return {
        .advance = fold<false>, .retreat = fold<true>, .compose = compose<false>, .compose_backward = compose<true>};
  }
};

}  // namespace og

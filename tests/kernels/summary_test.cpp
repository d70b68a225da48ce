// Folds of summaries against sums written out here, at every carry, run and share of the columns.
#include "framework/kernels/summary.h"

#include <gtest/gtest.h>

#include "framework/ops/scan.h"
#include "tests/tensors.h"

namespace og {
namespace {

struct Case {
  int64_t B, H, K, V;
  Carry carry;
  SummaryRun run;
  bool entry = true;
  int64_t width = 0;  // columns of the state; 0: all

  int64_t n() const { return carry == Carry::scalar ? 1 : carry == Carry::diagonal ? K : K * K; }
  int64_t columns() const { return width > 0 ? width : V; }
  std::string str() const {
    return fmt::format("B {} H {} K {} V {} n {}, run {} {} {}, entry {}, width {} from {}", B, H, K, V, n(), run.first,
                       run.step, run.count, entry, width, run.column);
  }
};

constexpr int64_t kMaps = 5;

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Carry carry : {Carry::scalar, Carry::diagonal, Carry::dense})
    for (const auto& [K, V] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {16, 16}, {7, 33}, {32, 48}}) {
      for (const SummaryRun& run :
           {SummaryRun{0, 1, 1}, SummaryRun{0, 1, 5}, SummaryRun{4, -1, 4}, SummaryRun{1, 2, 2}, SummaryRun{4, -2, 3}})
        for (bool entry : {false, true}) all.push_back({2, 3, K, V, carry, run, entry});
      if (V > 1) all.push_back({2, 1, K, V, carry, {1, 1, 3, V / 3, V}, true, V / 2});
      if (V == 48) all.push_back({1, 2, K, V, carry, {0, 2, 2, 16, V}, true, 16});
    }
  return all;
}

// A of one head as a matrix, whatever the carry.
double transition(const Tensor& maps, const Case& c, int64_t map, int64_t head, int64_t i, int64_t j) {
  const int64_t at = map * maps.size(1) + head * c.n();
  if (c.carry == Carry::dense) return maps.at(at + i * c.K + j);
  return i != j ? 0 : maps.at(at + (c.carry == Carry::scalar ? 0 : i));
}

Tensor expected(Context& cx, const Case& c, const Tensor& maps, const Tensor& entry, bool backward) {
  const int64_t W = c.columns(), heads = c.B * c.H;
  const Tensor state = c.entry ? entry.clone(*cx.pool) : cx.zeros({c.B, c.H, c.K, W}, DType::f64);
  const Tensor next = cx.empty(state.shape(), DType::f64);
  for (int64_t m = 0; m < c.run.count; ++m) {
    const int64_t map = c.run.first + m * c.run.step;
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < c.K; ++i)
        for (int64_t j = 0; j < W; ++j) {
          double sum = maps.at(map * maps.size(1) + heads * c.n() + (h * c.K + i) * c.V + c.run.column + j);
          for (int64_t d = 0; d < c.K; ++d)
            sum += (backward ? transition(maps, c, map, h, d, i) : transition(maps, c, map, h, i, d)) *
                   state.at((h * c.K + d) * W + j);
          next.data<double>()[(h * c.K + i) * W + j] = sum;
        }
    state.copy_from(next);
  }
  return state;
}

struct Inputs {
  Tensor maps, entry;
  Inputs(Context& cx, const Case& c)
      : maps(random_tensor(cx, {kMaps, c.B * c.H * (c.n() + c.K * c.V)}, DType::f64, 1,
                           1 / std::sqrt(static_cast<double>(c.K)))),
        entry(random_tensor(cx, {c.B, c.H, c.K, c.columns()}, DType::f64, 2)) {}
};

template <class T>
Tensor fold(Context& cx, const SummaryKernels<T>& kernels, const Case& c, const Inputs& x, bool backward) {
  const DType type = DTypeOf<T>::value;
  const Tensor maps = x.maps.cast(*cx.pool, type), entry = c.entry ? x.entry.cast(*cx.pool, type) : Tensor();
  const Tensor out = cx.empty(x.entry.shape(), type);
  const Tensor work = c.run.count > 1 ? cx.empty(out.shape(), type) : Tensor();
  (backward ? kernels.retreat : kernels.advance)(cx.stream, out.view<T, 4>(), work.flat<T>(), maps.view<const T, 2>(),
                                                 c.run, entry.view<const T, 4>());
  return out;
}

TEST(SummaryKernels, FoldsAreTheSumsWrittenOut) {
  Context cx;
  for (const Case& c : cases())
    for (bool backward : {false, true}) {
      const Inputs x(cx, c);
      const Tensor truth = expected(cx, c, x.maps, x.entry, backward);
      EXPECT_LT(distance(fold(cx, summary_ref<double>(), c, x, backward), truth), 1e-13) << c.str();
      EXPECT_LT(distance(fold(cx, summary_ref<float>(), c, x, backward).cast(*cx.pool, DType::f64), truth), 1e-5)
          << c.str();
      const Tensor fast = fold(cx, summary_kernels<float>(cx.stream), c, x, backward);
      EXPECT_LT(distance(fast.cast(*cx.pool, DType::f64), truth), 1e-5) << c.str();
      // What is no matrix has the same bits at every instruction set.
      if (c.carry != Carry::dense) {
        EXPECT_TRUE(same_bits(fast, fold(cx, summary_ref<float>(), c, x, backward))) << c.str();
      }
      if (best_isa() >= Isa::avx2) {
        const Tensor avx2 = fold(cx, avx2::summary_table(), c, x, backward);
        EXPECT_LT(distance(avx2.cast(*cx.pool, DType::f64), truth), 1e-5) << c.str();
      }
      Context threads;
      threads.stream.num_threads = 4;
      EXPECT_TRUE(same_bits(fast, fold(threads, summary_kernels<float>(cx.stream), c, x, backward))) << c.str();
    }
}

// Two neighbours as one do what they do one after the other, in both directions and types.
TEST(SummaryKernels, ComposedMapsAreOneAfterTheOther) {
  Context cx;
  for (const Case& c : cases()) {
    if (c.width > 0 || !c.entry) continue;
    const Inputs x(cx, c);
    const Shape shape{c.B, c.H, c.K, c.V};
    for (const DType type : {DType::f64, DType::f32}) {
      const Tensor maps = x.maps.cast(*cx.pool, type), entry = x.entry.cast(*cx.pool, type);
      const auto piece = [&](int64_t i) {
        return Summary::of(maps.slice(i, i + 1).reshape({maps.size(1)}), shape, c.n());
      };
      const double bound = type == DType::f64 ? 1e-13 : 1e-5;
      EXPECT_LT(distance(advance_state(cx, combine(cx, piece(0), piece(1)), entry),
                         advance_states(cx, shape, maps, {0, 1, 2}, entry)),
                bound)
          << c.str();
      EXPECT_LT(distance(retreat_state(cx, combine_backward(cx, piece(0), piece(1)), entry),
                         retreat_states(cx, shape, maps, {1, -1, 2}, entry)),
                bound)
          << c.str();
    }
  }
}

}  // namespace
}  // namespace og

// Folds of summaries: matrix carries in register tiles, the rest as the reference, which memory bounds.
#include "framework/kernels/summary.h"

#include "framework/kernels/cpu/tiled_product.h"
#include "framework/kernels/loops/summary.h"

namespace og::OG_ISA {

namespace {

struct TiledProduct : PlainProduct<float> {
  template <bool kTransposed>
  static void add_product(float* to, const float* a, const float* s, int64_t K, int64_t V) {
    if (V % kTileColumns != 0) return PlainProduct<float>::add_product<kTransposed>(to, a, s, K, V);
    tiled_product(K, V, K, a, kTransposed ? 1 : K, kTransposed ? K : 1, s, V, to, V, Sum::add);
  }
};

}  // namespace

const SummaryKernels<float>& summary_table() {
  static constexpr SummaryKernels<float> table = SummaryLoops<TiledProduct>::table();
  return table;
}

}  // namespace og::OG_ISA

// AdamW: 16 bytes read, 12 written an element, bound by memory. Sums of squares in blocks of fixed size, so that the
// bits do not depend on how many threads there are.
#include "framework/kernels/optim.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace og::OG_ISA {

namespace {

void adamw(const Stream& stream, View<float, 1> w, View<float, 1> m, View<float, 1> v, View<const float, 1> g,
           View<const double, 1> scale, const AdamWStep& s) {
  if (scale(0) == 0 || !std::isfinite(scale(0))) return;
  const auto b1 = static_cast<float>(s.beta1), b2 = static_cast<float>(s.beta2);
  const auto a1 = static_cast<float>(1 - s.beta1), a2 = static_cast<float>(1 - s.beta2);
  const auto clip = static_cast<float>(scale(0));
  const auto c1 = static_cast<float>(1 / s.correction1), c2 = static_cast<float>(1 / s.correction2);
  const auto rate = static_cast<float>(s.rate), eps = static_cast<float>(s.eps), decay = static_cast<float>(s.decay);
  stream.parallel_for(w.size(), 1 << 14, [&](int64_t begin, int64_t end) {
    float* __restrict wp = w.data;
    float* __restrict mp = m.data;
    float* __restrict vp = v.data;
    const float* __restrict gp = g.data;
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float gradient = gp[i] * clip;
      const float mi = b1 * mp[i] + a1 * gradient;
      const float vi = b2 * vp[i] + a2 * gradient * gradient;
      mp[i] = mi;
      vp[i] = vi;
      wp[i] -= rate * (mi * c1 / (std::sqrt(vi * c2) + eps) + decay * wp[i]);
    }
  });
}

// Never inlined: two copies may be vectorised differently, and the sum's last bit with them.
[[gnu::noinline]] double sum_of_block(const float* x, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

void sum_squares(const Stream& stream, View<double, 1> total, View<const float, 1> x, double divisor) {
  constexpr int64_t kBlock = 1 << 16;
  const int64_t blocks = (x.size() + kBlock - 1) / kBlock;
  std::vector<double> sums(static_cast<size_t>(blocks));
  stream.parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * kBlock;
      sums[static_cast<size_t>(b)] = sum_of_block(x.data + first, std::min(kBlock, x.size() - first));
    }
  });
  double sum = 0;
  for (double s : sums) sum += s;
  total(0) += sum / divisor;
}

}  // namespace

const OptimKernels<float>& optim_table() {
  static const OptimKernels<float> table = [] {
    OptimKernels<float> t = optim_ref<float>();
    t.adamw = adamw;
    t.sum_squares = sum_squares;
    return t;
  }();
  return table;
}

}  // namespace og::OG_ISA

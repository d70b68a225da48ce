// The balance loss in parallel over tokens. Every sum runs in the reference's order, so the results are its bits; sums
// of several tokens run side by side, since one alone waits for each of its additions.
#include "framework/kernels/balance.h"

#include <numeric>
#include <type_traits>
#include <vector>

namespace og::OG_ISA {

namespace {

constexpr int64_t kTogether = 4;

int64_t least_rows(int64_t width) { return 16384 / (width + 1) + 1; }

// run(first, count) over tokens [begin, end), count being a constant: kTogether, then 1.
template <class Run>
void by_tokens(int64_t begin, int64_t end, Run&& run) {
  int64_t n = begin;
  for (; n + kTogether <= end; n += kTogether) run(n, std::integral_constant<int64_t, kTogether>{});
  for (; n < end; ++n) run(n, std::integral_constant<int64_t, 1>{});
}

void loss_forward(const Stream& stream, View<float, 1> loss, View<const float, 2> scores, View<const float, 2> c,
                  TokenRows rows, Scoring scoring) {
  const int64_t num_experts = scores.shape[1];
  std::vector<double> of_token(static_cast<size_t>(scores.shape[0]));
  stream.parallel_for(scores.shape[0], least_rows(num_experts), [&](int64_t begin, int64_t end) {
    by_tokens(begin, end, [&](int64_t n, auto count) {
      const float *s[count], *w[count];
      double sum[count], weighted[count];
      for (int64_t i = 0; i < count; ++i) {
        s[i] = &scores(n + i), w[i] = &c(rows(n + i));
        sum[i] = weighted[i] = 0;
      }
      for (int64_t e = 0; e < num_experts; ++e)
        for (int64_t i = 0; i < count; ++i) {
          const double score = s[i][e];
          sum[i] += score;
          weighted[i] += static_cast<double>(w[i][e]) * score;
        }
      for (int64_t i = 0; i < count; ++i)
        of_token[static_cast<size_t>(n + i)] = scoring == Scoring::softmax ? weighted[i] : weighted[i] / sum[i];
    });
  });
  loss(0) = static_cast<float>(std::accumulate(of_token.begin(), of_token.end(), 0.0));
}

void loss_backward(const Stream& stream, View<float, 2> dscores, Put put, View<const float, 1> dloss,
                   View<const float, 2> scores, View<const float, 2> c, TokenRows rows, Scoring scoring) {
  const int64_t num_experts = scores.shape[1];
  const float dl = dloss(0);
  stream.parallel_for(scores.shape[0], least_rows(2 * num_experts), [&](int64_t begin, int64_t end) {
    by_tokens(begin, end, [&](int64_t n, auto count) {
      const float *s[count], *w[count];
      float sum[count], mean[count];
      for (int64_t i = 0; i < count; ++i) {
        s[i] = &scores(n + i), w[i] = &c(rows(n + i));
        sum[i] = scoring == Scoring::sigmoid ? 0.0F : 1.0F;
        mean[i] = 0;
      }
      if (scoring == Scoring::sigmoid) {
        for (int64_t e = 0; e < num_experts; ++e)
          for (int64_t i = 0; i < count; ++i) sum[i] += s[i][e];
        for (int64_t e = 0; e < num_experts; ++e)
          for (int64_t i = 0; i < count; ++i) mean[i] += w[i][e] * s[i][e] / sum[i];
      }
      for (int64_t i = 0; i < count; ++i) {
        float* ds = &dscores(n + i);
        const float* wi = w[i];
        const float divisor = sum[i], middle = mean[i];
        if (put == Put::write) {
#pragma omp simd
          for (int64_t e = 0; e < num_experts; ++e) ds[e] = dl * (wi[e] - middle) / divisor;
        } else {
#pragma omp simd
          for (int64_t e = 0; e < num_experts; ++e) ds[e] += dl * (wi[e] - middle) / divisor;
        }
      }
    });
  });
}

}  // namespace

const BalanceKernels<float>& balance_table() {
  static const BalanceKernels<float> table = [] {
    BalanceKernels<float> t = balance_ref<float>();
    t.loss_forward = loss_forward;
    t.loss_backward = loss_backward;
    return t;
  }();
  return table;
}

}  // namespace og::OG_ISA

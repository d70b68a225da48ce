// Routing, in parallel over tokens, vectorised over experts or over the width of a row. Bound by memory, but for exp.
#include "framework/kernels/moe.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "framework/kernels/cpu/elementary.h"

namespace og::OG_ISA {

namespace {

int64_t least_rows(int64_t width) { return 16384 / (width + 1) + 1; }

void score_forward(const Stream& stream, View<float, 2> scores, View<float, 1> lse, View<const float, 2> logits,
                   Scoring scoring) {
  const int64_t num_experts = logits.shape[1];
  stream.parallel_for(logits.shape[0], least_rows(8 * num_experts), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const float* l = &logits(n);
      float* s = &scores(n);
      float most = l[0], sum = 0;
      for (int64_t e = 1; e < num_experts; ++e) most = std::max(most, l[e]);
#pragma omp simd reduction(+ : sum)
      for (int64_t e = 0; e < num_experts; ++e) {
        s[e] = VectorMath::exp(l[e] - most);
        sum += s[e];
      }
      lse(n) = most + std::log(sum);
      if (scoring == Scoring::softmax) {
        const float scale = 1.0F / sum;
#pragma omp simd
        for (int64_t e = 0; e < num_experts; ++e) s[e] *= scale;
      } else {
#pragma omp simd
        for (int64_t e = 0; e < num_experts; ++e) s[e] = 1.0F / (1.0F + VectorMath::exp(-l[e]));
      }
    }
  });
}

void score_backward(const Stream& stream, View<float, 2> dlogits, Put put, View<const float, 2> dscores,
                    View<const float, 1> dlse, View<const float, 2> scores, View<const float, 2> logits,
                    View<const float, 1> lse, Scoring scoring) {
  const int64_t num_experts = logits.shape[1];
  stream.parallel_for(logits.shape[0], least_rows(8 * num_experts), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const float *l = &logits(n), *s = &scores(n), *ds = dscores ? &dscores(n) : nullptr;
      float* dl = &dlogits(n);
      float dot = 0;
      if (ds != nullptr && scoring == Scoring::softmax) {
#pragma omp simd reduction(+ : dot)
        for (int64_t e = 0; e < num_experts; ++e) dot += s[e] * ds[e];
      }
      if (put == Put::write) std::fill_n(dl, num_experts, 0.0F);
      if (ds != nullptr && scoring == Scoring::softmax) {
#pragma omp simd
        for (int64_t e = 0; e < num_experts; ++e) dl[e] += s[e] * (ds[e] - dot);
      } else if (ds != nullptr) {
#pragma omp simd
        for (int64_t e = 0; e < num_experts; ++e) {
          const float u = VectorMath::exp(-std::abs(l[e]));  // s (1 - s) loses its digits where s is near 1
          dl[e] += ds[e] * u / ((1.0F + u) * (1.0F + u));
        }
      }
      if (!dlse) continue;
      const float d = dlse(n), shift = lse(n);
#pragma omp simd
      for (int64_t e = 0; e < num_experts; ++e) dl[e] += d * VectorMath::exp(l[e] - shift);
    }
  });
}

// The reference's choice, by blocks of tokens.
void choose_experts(const Stream& stream, View<int32_t, 2> experts, View<const float, 2> scores,
                    View<const float, 1> bias) {
  const int64_t num_experts = scores.shape[1], k = experts.shape[1];
  stream.parallel_for(scores.shape[0], least_rows(8 * num_experts * k), [&](int64_t begin, int64_t end) {
    moe_ref<float>().choose(stream, {&experts(begin), {end - begin, k}}, {&scores(begin), {end - begin, num_experts}},
                            bias);
  });
}

void gather(const Stream& stream, View<float, 2> y, View<const float, 2> x, View<const int32_t, 1> index) {
  const auto bytes = static_cast<size_t>(y.shape[1]) * sizeof(float);
  stream.parallel_for(y.shape[0], least_rows(y.shape[1]), [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      if (index(m) < 0) {
        std::memset(&y(m), 0, bytes);
      } else {
        std::memcpy(&y(m), &x(index(m)), bytes);
      }
    }
  });
}

void combine_forward(const Stream& stream, View<float, 2> y, Put put, View<const float, 2> x,
                     View<const float, 2> weights, View<const int32_t, 2> slots) {
  const int64_t width = y.shape[1], k = slots.shape[1];
  stream.parallel_for(y.shape[0], least_rows(width * k), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      float* to = &y(n);
      bool first = put == Put::write;
      for (int64_t j = 0; j < k; ++j) {
        if (slots(n, j) < 0) continue;
        const float* from = &x(slots(n, j));
        const float w = weights ? weights(n, j) : 1.0F;
        if (first) {
#pragma omp simd
          for (int64_t d = 0; d < width; ++d) to[d] = w * from[d];
        } else {
#pragma omp simd
          for (int64_t d = 0; d < width; ++d) to[d] += w * from[d];
        }
        first = false;
      }
      if (first) std::fill_n(to, width, 0.0F);
    }
  });
}

void combine_backward(const Stream& stream, View<float, 2> dx, Put put_dx, View<float, 2> dweights, Put put_dweights,
                      View<const float, 2> dy, View<const float, 2> x, View<const float, 2> weights,
                      View<const int32_t, 2> slots) {
  const int64_t width = dy.shape[1], k = slots.shape[1];
  stream.parallel_for(dy.shape[0], least_rows(width * k), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t j = 0; j < k; ++j) {
        const int64_t m = slots(n, j);
        const float* from = &dy(n);
        if (dx && m >= 0) {
          float* to = &dx(m);
          const float w = weights ? weights(n, j) : 1.0F;
          if (put_dx == Put::write) {
#pragma omp simd
            for (int64_t d = 0; d < width; ++d) to[d] = w * from[d];
          } else {
#pragma omp simd
            for (int64_t d = 0; d < width; ++d) to[d] += w * from[d];
          }
        }
        if (!dweights) continue;
        float dot = 0;
        if (m >= 0) {
          const float* row = &x(m);
#pragma omp simd reduction(+ : dot)
          for (int64_t d = 0; d < width; ++d) dot += from[d] * row[d];
        }
        store(dweights(n, j), put_dweights, dot);
      }
  });
}

}  // namespace

const MoeKernels<float>& moe_table() {
  static const MoeKernels<float> table = [] {
    MoeKernels<float> t = moe_ref<float>();
    t.score_forward = score_forward;
    t.score_backward = score_backward;
    t.choose = choose_experts;
    t.gather = gather;
    t.combine_forward = combine_forward;
    t.combine_backward = combine_backward;
    return t;
  }();
  return table;
}

}  // namespace og::OG_ISA

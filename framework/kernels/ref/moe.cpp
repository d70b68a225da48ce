#include "framework/kernels/moe.h"

#include <algorithm>
#include <cmath>

namespace og {

namespace {

template <class T>
void score_forward(const Stream&, View<T, 2> scores, View<T, 1> lse, View<const T, 2> logits, Scoring scoring) {
  const int64_t num_experts = logits.shape[1];
  for (int64_t n = 0; n < logits.shape[0]; ++n) {
    T most = logits(n, 0), sum = 0;
    for (int64_t e = 1; e < num_experts; ++e) most = std::max(most, logits(n, e));
    for (int64_t e = 0; e < num_experts; ++e) sum += std::exp(logits(n, e) - most);
    lse(n) = most + std::log(sum);
    for (int64_t e = 0; e < num_experts; ++e)
      scores(n, e) =
          scoring == Scoring::softmax ? std::exp(logits(n, e) - most) / sum : T{1} / (T{1} + std::exp(-logits(n, e)));
  }
}

template <class T>
void score_backward(const Stream&, View<T, 2> dlogits, Put put, View<const T, 2> dscores, View<const T, 1> dlse,
                    View<const T, 2> scores, View<const T, 2> logits, View<const T, 1> lse, Scoring scoring) {
  const int64_t num_experts = logits.shape[1];
  for (int64_t n = 0; n < logits.shape[0]; ++n) {
    T dot = 0;
    if (dscores && scoring == Scoring::softmax)
      for (int64_t e = 0; e < num_experts; ++e) dot += scores(n, e) * dscores(n, e);
    for (int64_t e = 0; e < num_experts; ++e) {
      T d = 0;
      if (dscores && scoring == Scoring::softmax) {
        d += scores(n, e) * (dscores(n, e) - dot);
      } else if (dscores) {
        // Not s (1 - s), which loses its digits where s is near 1.
        const T u = std::exp(-std::abs(logits(n, e)));
        d += dscores(n, e) * u / ((1 + u) * (1 + u));
      }
      if (dlse) d += dlse(n) * std::exp(logits(n, e) - lse(n));
      store(dlogits(n, e), put, d);
    }
  }
}

template <class T>
void choose_experts(const Stream&, View<int32_t, 2> experts, View<const T, 2> scores, View<const T, 1> bias) {
  const int64_t num_experts = scores.shape[1], k = experts.shape[1];
  for (int64_t n = 0; n < scores.shape[0]; ++n) {
    int32_t* chosen = &experts(n);
    for (int64_t j = 0; j < k; ++j) {
      int64_t best = -1;
      T best_score = 0;
      for (int64_t e = 0; e < num_experts; ++e) {
        if (std::find(chosen, chosen + j, static_cast<int32_t>(e)) != chosen + j) continue;
        const T score = bias ? scores(n, e) + bias(e) : scores(n, e);
        if (best >= 0 && !(score > best_score)) continue;
        best = e;
        best_score = score;
      }
      chosen[j] = static_cast<int32_t>(best);
    }
    std::sort(chosen, chosen + k);
  }
}

template <class T>
T chosen_sum(View<const T, 2> scores, View<const int32_t, 2> experts, int64_t n) {
  T sum = T(1e-20);
  for (int64_t j = 0; j < experts.shape[1]; ++j) sum += scores(n, expert_id(experts(n, j)));
  return sum;
}

template <class T>
void weigh_forward(const Stream&, View<T, 2> weights, View<const T, 2> scores, View<const int32_t, 2> experts,
                   bool normalise, T factor) {
  for (int64_t n = 0; n < scores.shape[0]; ++n) {
    const T scale = normalise ? factor / chosen_sum(scores, experts, n) : factor;
    for (int64_t j = 0; j < experts.shape[1]; ++j) weights(n, j) = scale * scores(n, expert_id(experts(n, j)));
  }
}

template <class T>
void weigh_backward(const Stream&, View<T, 2> dscores, Put put, View<const T, 2> dweights, View<const T, 2> scores,
                    View<const int32_t, 2> experts, bool normalise, T factor) {
  const int64_t k = experts.shape[1];
  if (put == Put::write) std::fill_n(dscores.data, dscores.size(), T{0});
  for (int64_t n = 0; n < scores.shape[0]; ++n) {
    T scale = factor, mean = 0;
    if (normalise) {
      const T sum = chosen_sum(scores, experts, n);
      scale = factor / sum;
      for (int64_t j = 0; j < k; ++j) mean += dweights(n, j) * scores(n, expert_id(experts(n, j))) / sum;
    }
    for (int64_t j = 0; j < k; ++j) dscores(n, expert_id(experts(n, j))) += scale * (dweights(n, j) - mean);
  }
}

template <class T>
void gather(const Stream&, View<T, 2> y, View<const T, 2> x, View<const int32_t, 1> index) {
  for (int64_t m = 0; m < y.shape[0]; ++m) {
    if (index(m) < 0) {
      std::fill_n(&y(m), y.shape[1], T{0});
    } else {
      std::copy_n(&x(index(m)), y.shape[1], &y(m));
    }
  }
}

template <class T>
void combine_forward(const Stream&, View<T, 2> y, Put put, View<const T, 2> x, View<const T, 2> weights,
                     View<const int32_t, 2> slots) {
  for (int64_t n = 0; n < y.shape[0]; ++n)
    for (int64_t d = 0; d < y.shape[1]; ++d) {
      T sum = 0;
      for (int64_t j = 0; j < slots.shape[1]; ++j)
        if (slots(n, j) >= 0) sum += (weights ? weights(n, j) : T{1}) * x(slots(n, j), d);
      store(y(n, d), put, sum);
    }
}

template <class T>
void combine_backward(const Stream&, View<T, 2> dx, Put put_dx, View<T, 2> dweights, Put put_dweights,
                      View<const T, 2> dy, View<const T, 2> x, View<const T, 2> weights, View<const int32_t, 2> slots) {
  const int64_t width = dy.shape[1];
  for (int64_t n = 0; n < dy.shape[0]; ++n)
    for (int64_t j = 0; j < slots.shape[1]; ++j) {
      const int64_t m = slots(n, j);
      T dot = 0;
      for (int64_t d = 0; d < width && m >= 0; ++d) {
        if (dx) store(dx(m, d), put_dx, (weights ? weights(n, j) : T{1}) * dy(n, d));
        if (dweights) dot += dy(n, d) * x(m, d);
      }
      if (dweights) store(dweights(n, j), put_dweights, dot);
    }
}

}  // namespace

template <class T>
const MoeKernels<T>& moe_ref() {
  static constexpr MoeKernels<T> table{.score_forward = score_forward<T>,
                                       .score_backward = score_backward<T>,
                                       .choose = choose_experts<T>,
                                       .weigh_forward = weigh_forward<T>,
                                       .weigh_backward = weigh_backward<T>,
                                       .gather = gather<T>,
                                       .combine_forward = combine_forward<T>,
                                       .combine_backward = combine_backward<T>};
  return table;
}
template const MoeKernels<float>& moe_ref<float>();
template const MoeKernels<double>& moe_ref<double>();

}  // namespace og

#include "framework/kernels/balance.h"

#include <numeric>

namespace og {

namespace {

template <class T>
void coefficients(const Stream&, View<T, 2> c, View<const int32_t, 2> counts, const BalanceScale& scale) {
  const int64_t num_experts = counts.shape[1];
  for (int64_t g = 0; g < counts.shape[0]; ++g) {
    const int32_t* row = &counts(g);
    const auto choices = static_cast<double>(std::accumulate(row, row + num_experts, int64_t{0}));
    const double tokens = choices / scale.choices_per_token;
    const double weight = tokens / scale.row_length / scale.rows_in_step;
    for (int64_t e = 0; e < num_experts; ++e)
      c(g, e) = choices == 0 ? T{0}
                             : static_cast<T>(scale.coefficient * static_cast<double>(num_experts) * weight * row[e] /
                                              choices / tokens);
  }
}

template <class T>
void loss_forward(const Stream&, View<T, 1> loss, View<const T, 2> scores, View<const T, 2> c, TokenRows rows,
                  Scoring scoring) {
  double total = 0;
  for (int64_t n = 0; n < scores.shape[0]; ++n) {
    double sum = 0, weighted = 0;
    for (int64_t e = 0; e < scores.shape[1]; ++e) {
      sum += scores(n, e);
      weighted += static_cast<double>(c(rows(n), e)) * scores(n, e);
    }
    total += scoring == Scoring::softmax ? weighted : weighted / sum;
  }
  loss(0) = static_cast<T>(total);
}

template <class T>
void loss_backward(const Stream&, View<T, 2> dscores, Put put, View<const T, 1> dloss, View<const T, 2> scores,
                   View<const T, 2> c, TokenRows rows, Scoring scoring) {
  const int64_t num_experts = scores.shape[1];
  for (int64_t n = 0; n < scores.shape[0]; ++n) {
    T sum = 1, mean = 0;  // p = s / sum: dp/ds_e = (c_e - sum_i c_i p_i) / sum
    if (scoring == Scoring::sigmoid) {
      sum = 0;
      for (int64_t e = 0; e < num_experts; ++e) sum += scores(n, e);
      for (int64_t e = 0; e < num_experts; ++e) mean += c(rows(n), e) * scores(n, e) / sum;
    }
    for (int64_t e = 0; e < num_experts; ++e) store(dscores(n, e), put, dloss(0) * (c(rows(n), e) - mean) / sum);
  }
}

template <class T>
void z_forward(const Stream&, View<T, 1> loss, View<const T, 1> lse, double c) {
  double sum = 0;
  for (int64_t n = 0; n < lse.size(); ++n) {
    const double l = lse(n);
    sum += l * l;
  }
  loss(0) = static_cast<T>(c * sum);
}

template <class T>
void z_backward(const Stream&, View<T, 1> dlse, Put put, View<const T, 1> dloss, View<const T, 1> lse, double c) {
  const T factor = static_cast<T>(2 * c) * dloss(0);
  for (int64_t n = 0; n < lse.size(); ++n) store(dlse(n), put, factor * lse(n));
}

// E load_e against the sum of loads: integers, so that every rank and every layout takes the same side.
template <class T>
void move_bias(const Stream&, View<T, 1> bias, View<const int64_t, 1> loads, T rate) {
  const int64_t num_experts = loads.size(), sum = std::accumulate(loads.data, loads.data + num_experts, int64_t{0});
  for (int64_t e = 0; e < num_experts; ++e)
    bias(e) += loads(e) * num_experts < sum ? rate : loads(e) * num_experts > sum ? -rate : T{0};
}

}  // namespace

template <class T>
const BalanceKernels<T>& balance_ref() {
  static constexpr BalanceKernels<T> table{.coefficients = coefficients<T>,
                                           .loss_forward = loss_forward<T>,
                                           .loss_backward = loss_backward<T>,
                                           .z_forward = z_forward<T>,
                                           .z_backward = z_backward<T>,
                                           .move_bias = move_bias<T>};
  return table;
}
template const BalanceKernels<float>& balance_ref<float>();
template const BalanceKernels<double>& balance_ref<double>();

}  // namespace og

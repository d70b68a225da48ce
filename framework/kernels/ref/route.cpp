#include "framework/kernels/route.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace og {

namespace {

void count_choices(const Stream&, View<int32_t, 2> counts, View<const int32_t, 2> experts, TokenRows rows) {
  std::fill_n(counts.data, counts.size(), 0);
  for (int64_t n = 0; n < experts.shape[0]; ++n) {
    int32_t* row = &counts(rows(n));
    for (int64_t k = 0; k < experts.shape[1]; ++k) row[expert_id(experts(n, k))] += 1;
  }
}

void count_kept(const Stream&, View<int32_t, 1> counts, View<const int32_t, 2> experts) {
  std::fill_n(counts.data, counts.size(), 0);
  for (int64_t i = 0; i < experts.size(); ++i)
    if (experts.data[i] >= 0) counts(experts.data[i]) += 1;
}

void sum_counts(const Stream&, View<int32_t, 2> sums, View<const int32_t, 4> counts) {
  const auto [ranks, rows, parts, num_experts] = counts.shape;
  std::fill_n(sums.data, sums.size(), 0);
  for (int64_t p = 0; p < ranks; ++p)
    for (int64_t b = 0; b < rows; ++b)
      for (int64_t s = 0; s < parts; ++s)
        for (int64_t e = 0; e < num_experts; ++e) sums(b, e) += counts(p, b, s, e);
}

void add_loads(const Stream&, View<int64_t, 1> loads, View<const int32_t, 2> counts) {
  for (int64_t g = 0; g < counts.shape[0]; ++g)
    for (int64_t e = 0; e < counts.shape[1]; ++e) loads(e) += counts(g, e);
}

void max_over_mean(const Stream&, View<double, 1> figure, View<const int32_t, 2> counts) {
  int64_t sum = 0, most = 0;
  for (int64_t e = 0; e < counts.shape[1]; ++e) {
    int64_t load = 0;
    for (int64_t g = 0; g < counts.shape[0]; ++g) load += counts(g, e);
    sum += load;
    most = std::max(most, load);
  }
  const double mean = static_cast<double>(sum) / static_cast<double>(counts.shape[1]);
  figure(0) = sum > 0 ? static_cast<double>(most) / mean : 1.0;
}

void drop(const Stream&, View<int32_t, 2> experts, View<int64_t, 1> dropped, View<int32_t, 2> taken, TokenRows rows,
          int64_t capacity) {
  dropped(0) = 0;
  for (int64_t n = 0; n < experts.shape[0]; ++n) {
    int32_t* row = &taken(rows(n));
    for (int64_t k = 0; k < experts.shape[1]; ++k) {
      int32_t& choice = experts(n, k);
      if (row[choice]++ < capacity) continue;
      choice = ~choice;
      dropped(0) += 1;
    }
  }
}

void borders(const Stream&, View<int64_t, 1> begin, View<const int32_t, 2> counts) {
  begin(0) = 0;
  for (int64_t e = 0; e < counts.shape[1]; ++e) {
    begin(e + 1) = begin(e);
    for (int64_t p = 0; p < counts.shape[0]; ++p) begin(e + 1) += counts(p, e);
  }
}

void place(const Stream&, View<int32_t, 2> slots, View<int32_t, 1> token, View<int64_t, 1> next,
           View<const int32_t, 2> experts) {
  int64_t rows = 0;
  for (int64_t n = 0; n < experts.shape[0]; ++n)
    for (int64_t k = 0; k < experts.shape[1]; ++k) {
      const int32_t choice = experts(n, k);
      if (choice < 0) {
        slots(n, k) = -1;
        continue;
      }
      const auto row = static_cast<int32_t>(next(choice)++);
      slots(n, k) = row;
      token(row) = static_cast<int32_t>(n);
      rows += 1;
    }
  std::fill(token.data + rows, token.data + token.size(), -1);
}

void arrive(const Stream&, View<int32_t, 1> arrival, View<int32_t, 1> departure, View<const int32_t, 2> counts) {
  const auto [ranks, num_experts] = counts.shape;
  // Where each (source, expert) begins in the rows that arrive.
  std::vector<int32_t> first(static_cast<size_t>(counts.size()));
  std::exclusive_scan(counts.data, counts.data + counts.size(), first.begin(), 0);
  int32_t row = 0;
  for (int64_t e = 0; e < num_experts; ++e)
    for (int64_t p = 0; p < ranks; ++p)
      for (int32_t i = 0; i < counts(p, e); ++i, ++row) {
        const int32_t from = first[static_cast<size_t>(p * num_experts + e)] + i;
        arrival(row) = from;
        departure(from) = row;
      }
}

}  // namespace

const RouteKernels& route_ref() {
  static constexpr RouteKernels table{.count_choices = count_choices,
                                      .count_kept = count_kept,
                                      .sum_counts = sum_counts,
                                      .add_loads = add_loads,
                                      .max_over_mean = max_over_mean,
                                      .drop = drop,
                                      .borders = borders,
                                      .place = place,
                                      .arrive = arrive};
  return table;
}

}  // namespace og

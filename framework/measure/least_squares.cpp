#include "framework/measure/least_squares.h"

#include <cstddef>

namespace og {

std::vector<double> fit_costs(const std::vector<Observation>& observations) {
  const size_t count = observations.empty() ? 0 : observations[0].features.size();
  std::vector<bool> held(count, false);
  while (true) {
    // The normal equations of those that are not held at zero, by elimination.
    std::vector<std::vector<double>> m(count, std::vector<double>(count + 1, 0));
    for (const Observation& o : observations)
      for (size_t i = 0; i < count; ++i) {
        for (size_t j = 0; j < count; ++j) m[i][j] += o.features[i] * o.features[j] / (o.scale * o.scale);
        m[i][count] += o.features[i] * o.value / (o.scale * o.scale);
      }
    std::vector<double> x(count, 0);
    bool again = false;
    for (size_t i = 0; i < count && !again; ++i) {
      if (held[i]) continue;
      double own = 0;
      for (const Observation& o : observations) own += o.features[i] * o.features[i] / (o.scale * o.scale);
      if (m[i][i] <= 1e-12 * own) {
        held[i] = again = true;
        break;
      }
      for (size_t r = 0; r < count; ++r) {
        if (r == i || held[r]) continue;
        const double factor = m[r][i] / m[i][i];
        for (size_t j = i; j <= count; ++j) m[r][j] -= factor * m[i][j];
      }
    }
    for (size_t i = 0; i < count && !again; ++i)
      if (!held[i]) x[i] = m[i][count] / m[i][i];
    for (size_t i = 0; i < count; ++i)
      if (x[i] < 0) held[i] = again = true;
    if (!again) return x;
  }
}

}  // namespace og

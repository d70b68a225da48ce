#include "framework/train/sequence_estimate.h"

#include <algorithm>
#include <cmath>

namespace og {

void PassEstimates::learn(const Extent& extent, const PassCost& cost) {
  for (Pass& pass : passes_)
    if (pass.extent == extent) {
      if (cost.seconds < pass.cost.seconds) pass.cost = cost;
      return;
    }
  const auto after = std::find_if(passes_.begin(), passes_.end(), [&](const Pass& pass) {
    const double more = pass.extent.tokens() - extent.tokens();
    return more > 0 || (more == 0 && pass.extent.length > extent.length);
  });
  passes_.insert(after, {extent, cost});
}

size_t PassEstimates::base(const Extent& extent) const {
  size_t at = passes_.size() - 1;
  while (at > 0 && passes_[at].extent.tokens() > extent.tokens()) --at;
  return at;
}

// Seconds a token grow as a power of the length between 0 and 1, bytes likewise, as they did between the pass that the
// estimate starts from and a clearly shorter one; memory is linear in tokens.
PassCost PassEstimates::of(const Extent& extent) const {
  const size_t at = base(extent);
  const Pass& from = passes_[at];
  double power = quadratic_ ? 1 : 0, bytes_power = from.cost.bytes > 0 ? 1 : 0;
  for (size_t i = at; i-- > 0;) {
    const Pass& before = passes_[i];
    const double steps = std::log(static_cast<double>(from.extent.length) / static_cast<double>(before.extent.length));
    if (steps < 0.5) continue;
    const double growth = (from.cost.seconds / from.extent.tokens()) / (before.cost.seconds / before.extent.tokens());
    power = std::clamp(std::log(growth) / steps, quadratic_ ? 0.5 : 0.0, 1.0);
    if (before.cost.bytes > 0 && before.extent.rows == from.extent.rows)
      bytes_power = std::clamp(std::log(from.cost.bytes / before.cost.bytes) / steps, 0.0, 1.0);
    break;
  }
  const double ratio = static_cast<double>(extent.length) / static_cast<double>(from.extent.length);
  const double tokens = extent.tokens() / from.extent.tokens();
  const double rows = static_cast<double>(extent.rows) / static_cast<double>(from.extent.rows);
  return {from.cost.seconds * tokens * std::pow(ratio, power), from.cost.bytes * rows * std::pow(ratio, bytes_power),
          from.cost.memory * tokens};
}

}  // namespace og

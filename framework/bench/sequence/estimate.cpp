#include "framework/bench/sequence/estimate.h"

#include <algorithm>
#include <cmath>

namespace og {

namespace {
constexpr double kCaches =
    0.05;  // added to the exponent for work that leaves the caches: half as much again at 4096 times the length
}  // namespace

Extent longer(const Extent& from, const Extent& wanted, int64_t factor) {
  Extent e{std::min(wanted.length, from.length * factor), 1};
  e.rows = std::clamp(static_cast<int64_t>(from.tokens()) * factor / e.length, int64_t{1}, wanted.rows);
  return e;
}

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

double PassEstimates::at_once(const Extent& extent) const {
  return most_at_once_ == 0 ? extent.tokens() : std::min(extent.tokens(), static_cast<double>(most_at_once_));
}

// Memory is a straight line over the tokens: a constant, such as weights, and a part for each token. One pass alone
// does not tell the line; all of its memory then counts as the tokens'.
double PassEstimates::memory(const Pass& from, const Extent& extent) const {
  const double tokens = at_once(from.extent);
  double slope = from.cost.memory / tokens;
  for (const Pass& other : passes_)
    if (at_once(other.extent) < 0.6 * tokens || at_once(other.extent) > 1.6 * tokens)
      slope = std::clamp((from.cost.memory - other.cost.memory) / (tokens - at_once(other.extent)), 0.0,
                         from.cost.memory / tokens);
  return from.cost.memory + slope * (at_once(extent) - tokens);
}

// Seconds a token grow as a power of the length. The exponent is the one between two passes, the pass that the estimate
// starts from and a clearly shorter one, clamped to what the kind of work allows. Bytes grow likewise.
PassCost PassEstimates::of(const Extent& extent) const {
  const size_t at = base(extent);
  const Pass& from = passes_[at];
  const double least = growth_ == Growth::quadratic ? 0.5 : 0, most = growth_ == Growth::linear ? kCaches : 1;
  double power = growth_ == Growth::quadratic ? 1 : 0, bytes_power = from.cost.bytes > 0 ? 1 : 0;
  for (size_t i = at; i-- > 0;) {
    const Pass& before = passes_[i];
    const double steps = std::log(static_cast<double>(from.extent.length) / static_cast<double>(before.extent.length));
    if (steps < 0.5) continue;
    const double growth = (from.cost.seconds / from.extent.tokens()) / (before.cost.seconds / before.extent.tokens());
    power = std::clamp(std::log(growth) / steps, least, most);
    if (before.cost.bytes > 0 && before.extent.rows == from.extent.rows)
      bytes_power = std::clamp(std::log(from.cost.bytes / before.cost.bytes) / steps, 0.0, 1.0);
    break;
  }
  const double ratio = static_cast<double>(extent.length) / static_cast<double>(from.extent.length);
  const double tokens = extent.tokens() / from.extent.tokens();
  const double rows = static_cast<double>(extent.rows) / static_cast<double>(from.extent.rows);
  return {from.cost.seconds * tokens * std::pow(ratio, power), from.cost.bytes * rows * std::pow(ratio, bytes_power),
          memory(from, extent)};
}

}  // namespace og

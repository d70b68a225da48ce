// What a pass over a long sequence will take, from passes over shorter ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace og {

struct Extent {
  int64_t length = 0, rows = 1;
  double tokens() const { return static_cast<double>(length) * static_cast<double>(rows); }
  bool operator==(const Extent&) const = default;
};

struct PassCost {
  double seconds = 0, bytes = 0, memory = 0;  // of one pass; bytes received and peak of a rank
};

// Of one method. At least one pass is learned before an estimate is asked for.
class PassEstimates {
 public:
  // quadratic: seconds a token grow with the length, until two lengths have shown how.
  explicit PassEstimates(bool quadratic) : quadratic_(quadratic) {}
  // The same extent again: the faster pass counts, since noise only ever adds.
  void learn(const Extent& extent, const PassCost& cost);
  bool empty() const { return passes_.empty(); }
  // Where the pass was that an estimate starts from: the one of the most tokens that are not more, or the shortest.
  const Extent& nearest(const Extent& extent) const { return passes_[base(extent)].extent; }
  PassCost of(const Extent& extent) const;

 private:
  struct Pass {
    Extent extent;
    PassCost cost;
  };
  size_t base(const Extent& extent) const;
  bool quadratic_;
  std::vector<Pass> passes_;  // by tokens, then by length
};

}  // namespace og

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
  double seconds = 0, bytes = 0, memory = 0;  // for one pass: seconds, bytes that a rank receives, its peak of memory
};

// How the seconds of one token grow with the length L. linear: not at all, but for caches (linear layers). quadratic:
// as L (softmax attention, left products). mixed: as two measured lengths show (a model with both).
enum class Growth : uint8_t { linear, mixed, quadratic };

// `from` with up to `factor` times the tokens: longer first, then more rows, nothing beyond `wanted`.
Extent longer(const Extent& from, const Extent& wanted, int64_t factor);

// What passes of one method will cost. At least one pass is learned before an estimate is asked for.
class PassEstimates {
 public:
  // most_at_once: tokens that are in memory at once, of a sequence in segments; 0: all.
  explicit PassEstimates(Growth growth, int64_t most_at_once = 0) : growth_(growth), most_at_once_(most_at_once) {}
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
  double memory(const Pass& from, const Extent& extent) const;
  double at_once(const Extent& extent) const;
  Growth growth_;
  int64_t most_at_once_;
  std::vector<Pass> passes_;  // by tokens, then by length
};

}  // namespace og

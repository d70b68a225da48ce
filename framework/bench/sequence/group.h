// A group of ranks that `bench sequence` measures on: it times passes, and judges which points may be measured there,
// from passes that are shorter.
#pragma once

#include <string>

#include "framework/bench/sequence/check.h"
#include "framework/bench/sequence/sweep.h"

namespace og {

// One method of a sweep with what is known of its passes.
struct SequenceColumn {
  const SequenceMethod* method;
  PassEstimates estimates;
};

struct PassTiming {
  PassCost cost;
  double exposed = 0;  // seconds blocked in communication
};

class SequenceGroup {
 public:
  // Collective over group. All outlive it.
  SequenceGroup(const SequenceBench& bench, Comm& world, Comm& group);

  Comm& comm() { return comm_; }
  SequenceChecks& checks() { return checks_; }
  // Ranks beyond the group wait for the next of these calls (wait_outside).
  void alive();
  // One pass; the numbers are those of the worst rank, the same on all.
  PassTiming pass(SequenceSubject& subject);
  // Whether the point may be measured, and its estimate, from passes of at most so many tokens; status empty: it may.
  void judge(SequenceColumn& column, SequencePoint& p, double most_tokens);
  // Whether the group's ranks do not find that much memory free on their machine.
  std::optional<Problem> too_large(const PassCost& cost);

 private:
  void probe(SequenceColumn& column, const Extent& extent);
  std::optional<Problem> too_long(const PassCost& cost) const;
  void approach(SequenceColumn& column, const Extent& wanted, double most_tokens);

  const SequenceBench& bench_;
  Comm& world_;
  Comm& comm_;
  int neighbours_;  // ranks of the group on one machine
  SequenceChecks checks_;
};

// What the other ranks do until the group leaves.
void wait_outside(Comm& world);
void leave(Comm& world, Comm& group);

// "2K", or "256x2K": so many rows.
std::string text_of(const Extent& extent);

}  // namespace og

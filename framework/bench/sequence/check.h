// The checks of `bench sequence`: does a method over a group of ranks compute what one rank alone computes? A point is
// checked at its own length and rows while one rank's pass is affordable (seconds and memory), else at the longest
// length that is. Its own result is then compared with that of the first method measured there.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "framework/bench/sequence/methods.h"
#include "parallel/comm/comm.h"

namespace og {

struct CheckOutcome {
  double error = 0;  // largest relative difference of any rank
  Extent at;
};

class SequenceChecks {
 public:
  // alive: called after every pass of one rank alone, collective over comm.
  SequenceChecks(const SubjectOptions& subject, Comm& comm, int ranks_on_machine, std::function<void()> alive);

  // Every method's first check: short.
  Extent least(const Extent& wanted) const;
  // The longest that one rank's pass is affordable at; extent itself where it is.
  Extent affordable(const Extent& extent);
  // What one rank finds there, cut for this rank; kept until the next extent, or forget(). Collective.
  const SequenceResult& one_rank(const Extent& extent, const SequenceSubject& subject);
  void forget() { found_ = {}; }
  // A method alone, on a subject of its own. Collective. Remembered as its longest.
  void check(const SequenceMethod& method, const Extent& extent);
  void remember(const std::string& method, const CheckOutcome& outcome);
  const CheckOutcome* longest(const std::string& method) const;                // null: never checked
  double error(const SequenceResult& found, const SequenceResult& reference);  // the largest of any rank; collective
  double allowed() const { return allowed_; }
  // Seconds and memory of one rank's pass; one has been learned.
  PassCost cost(const Extent& extent) const { return one_.of(extent); }

 private:
  bool affords(const Extent& extent);
  SequenceResult run_one(const Extent& extent);
  const SubjectOptions& subject_;
  Comm& comm_;
  int neighbours_;
  std::function<void()> alive_;
  PassEstimates one_;  // every rank of the group at the same time
  std::optional<std::pair<Extent, SequenceResult>> found_;
  std::map<std::string, CheckOutcome> outcomes_;
  double allowed_ = 0;
};

}  // namespace og

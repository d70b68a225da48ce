// `onegather bench sequence`: speed over sequence length, one column a method of splitting the sequence. The result of
// every method is checked before it is timed (bench/sequence/check.h); the methods of a length are timed in turns, so
// that noise falls on all. What would take longer than the limit or more than the free memory is estimated from shorter
// lengths, shown as not run, and not run. An estimate of the whole sweep comes first.
#pragma once

#include <string>
#include <vector>

#include "framework/bench/sequence/methods.h"
#include "framework/bench/sequence/points.h"
#include "parallel/comm/comm.h"

namespace og {

// strong: a length is cut over the ranks of the group. weak: a length belongs to the largest group, a smaller one takes
// its share (the same tokens a rank). fixed: tokens_per_rank whatever the length: more rows where rows are shorter.
enum class ScalingMode : uint8_t { strong, weak, fixed };
constexpr const char* name_of(ScalingMode mode) {
  constexpr const char* kNames[] = {"strong", "weak", "fixed"};
  return kNames[static_cast<size_t>(mode)];
}

struct SequenceBench {
  SubjectOptions subject;
  std::vector<SequenceMethod> methods;
  std::vector<int64_t> lengths;
  std::vector<int> ranks;  // sizes of groups of the world, one after another, ascending
  ScalingMode mode = ScalingMode::strong;
  int64_t tokens_per_rank = 0;
  int64_t repeats = 5;
  double seconds_limit = 60;
  std::string label;  // the user's word for what the program cannot know, such as the rate of links; kept with figures
  bool only_estimate = false;
  std::string json_path;    // written after every length; empty: nowhere
  std::string resume_path;  // where resume is from, for messages
  std::string resume;       // the text of such a file: its measured points are taken over; empty: none
};

// Collective. Rank 0 prints as it goes. Points whose result is wrong have no figures and the status "refused". Ranks
// beyond a group meet it after every pass, so no wait is longer than a pass.
std::vector<SequencePoint> bench_sequence(Comm& world, const SequenceBench& bench);

}  // namespace og

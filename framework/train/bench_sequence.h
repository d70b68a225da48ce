// `onegather bench sequence`: speed over sequence length, one column a method of splitting the sequence. Every method
// is first checked against one rank (at the point's length, or at kCheckLength where that is shorter); the methods of a
// length are timed in turns, so that noise falls on all. What would take longer than the limit or more than the free
// memory is estimated from shorter lengths, shown as not run, and not run.
#pragma once

#include <string>
#include <vector>

#include "framework/io/json.h"
#include "framework/train/sequence_subject.h"
#include "parallel/comm.h"

namespace og {

// strong: a length is cut over the ranks of the group. weak: a length belongs to the largest group, a smaller one takes
// its share (the same tokens a rank). fixed: tokens_per_rank whatever the length: more rows where rows are shorter.
enum class ScalingMode : uint8_t { strong, weak, fixed };

// "lasp2", and "lasp2-blocking": without overlap.
struct SequenceMethod {
  std::string name;
  SequenceOptions options;
};

struct SequenceBench {
  SubjectOptions subject;
  std::vector<SequenceMethod> methods;
  std::vector<int64_t> lengths;
  std::vector<int> ranks;  // sizes of groups of the world, one after another
  ScalingMode mode = ScalingMode::strong;
  int64_t tokens_per_rank = 0;
  int64_t repeats = 5;
  double seconds_limit = 60;
  std::string json_path;  // written after every length; empty: nowhere
  std::string resume;     // the text of such a file: its measured points are taken over; empty: none
};

struct SequencePoint {
  int ranks = 1;
  std::string method;
  int64_t length = 0, rows = 1;
  std::string status;  // measured, not run, refused
  std::string reason;
  double estimated_seconds = 0, estimated_bytes = 0, estimated_memory = 0;  // of one pass; bytes and memory of a rank
  double tokens_per_second = 0, least = 0, most = 0;                        // of the group; the median
  double seconds = 0;                                                       // of one pass, the slowest rank
  double bytes_received = 0;                                                // of one pass, the most of any rank
  double exposed_seconds = 0;                                               // blocked in communication, likewise
  double peak_memory = 0;                                                   // bytes of tensors, likewise
  double check_error = 0;
  bool taken_over = false;  // from the resumed file

  double tokens() const { return static_cast<double>(rows * length); }
};

// Names that `--methods` takes for this subject: those that are built.
std::vector<std::string> built_sequence_methods(const SubjectOptions& subject);
SequenceMethod sequence_method_named(const SubjectOptions& subject, const std::string& name);

// Collective. Rank 0 prints as it goes. Points whose check failed have no figures and the status "refused".
std::vector<SequencePoint> bench_sequence(Comm& world, const SequenceBench& bench);

Json to_json(const SequenceBench& bench, const std::vector<SequencePoint>& points);

}  // namespace og

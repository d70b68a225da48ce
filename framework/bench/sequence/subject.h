// What `bench sequence` times: one layer, forward and backward, or an optimizer step of a config, on a sequence that is
// split over the ranks of a group. Inputs are a function of the token's place in the whole sequence, so any number of
// ranks computes the same.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "framework/bench/sequence/estimate.h"
#include "framework/core/context.h"
#include "framework/core/problem.h"
#include "parallel/mesh/sequence_options.h"

namespace og {

class Comm;
struct MixerType;
struct SequenceMethod;

struct SubjectOptions {
  std::string mixer = "gla";  // a name of mixer_types()
  int64_t heads = 4, head_dim = 32;
  std::string config;  // not empty: an optimizer step of this file instead of a layer
  std::vector<std::string> overrides;
  int threads = 1;
};

// The mixer type that a layer is named after: the scan of its gate family on streams as they are, or full softmax
// attention.
const MixerType& subject_mixer(const std::string& name);

// What a pass found: a layer's output and gradients, each with its largest magnitude over the whole sequence, or the
// numbers of a step.
struct SequenceResult {
  std::vector<Tensor> parts;
  std::vector<double> largest;
};

// Largest difference, relative to the largest value of each part of the reference; NaN counts as infinite. Of this
// rank's tokens.
double difference(const SequenceResult& found, const SequenceResult& reference);

class SequenceSubject {
 public:
  virtual ~SequenceSubject() = default;
  virtual void use(const SequenceMethod& method) = 0;
  virtual void run() = 0;  // collective
  // A pass whose result is kept; the first pass of a subject that repeats() is false for.
  virtual SequenceResult run_and_keep() = 0;
  // This rank's part of what one rank alone found over the same rows, copied.
  virtual SequenceResult part_of(const SequenceResult& whole) const = 0;
  // Whether every pass computes the same; a step leaves other weights behind.
  virtual bool repeats() const = 0;
  virtual Pool& pool() = 0;
  // What rounding explains.
  virtual double allowed_difference() const = 0;
};

// What is known of its passes before any: how they grow. method: null for one rank alone.
PassEstimates subject_estimates(const SubjectOptions& options, const SequenceMethod* method = nullptr);

// Collective over comm, which outlives it. Tokens are cut evenly. method: null for one rank alone.
std::unique_ptr<SequenceSubject> make_subject(const SubjectOptions& options, const SequenceMethod* method, Comm& comm,
                                              const Extent& extent);
// Why this subject cannot be split so.
std::optional<Problem> subject_problem(const SubjectOptions& options, const SequenceMethod& method, int ranks,
                                       const Extent& extent);

}  // namespace og

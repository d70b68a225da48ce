// What `bench sequence` times: one layer, forward and backward, or an optimizer step of a config, on a sequence that is
// split over the ranks of a group. Inputs are a function of the token's place in the whole sequence, so any number of
// ranks computes the same.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "framework/core/context.h"
#include "parallel/sequence_method.h"

namespace og {

class Comm;

struct SubjectOptions {
  std::string mixer = "gla";  // a name of subject_mixers()
  int64_t heads = 4, head_dim = 32;
  std::string config;  // not empty: an optimizer step of this file instead of a layer
  std::vector<std::string> overrides;
  int threads = 1;
};

// linear, simple_gla, gla, delta_net, gated_delta_net: the scans; attention: full softmax attention.
const std::vector<std::string>& subject_mixers();

class SequenceSubject {
 public:
  virtual ~SequenceSubject() = default;
  virtual void use(const SequenceOptions& options) = 0;
  virtual void run() = 0;  // collective
  virtual Pool& pool() = 0;
  // After one run of each, keep_results(true) before: the largest difference from what one rank found, relative to its
  // largest value; of this rank.
  virtual void keep_results(bool keep) = 0;
  virtual double difference_from(const SequenceSubject& one) const = 0;
  // What rounding explains.
  virtual double allowed_difference() const = 0;
};

// Collective over comm, which outlives it. rows x length tokens, cut evenly.
std::unique_ptr<SequenceSubject> make_subject(const SubjectOptions& options, Comm& comm, int64_t rows, int64_t length);

}  // namespace og

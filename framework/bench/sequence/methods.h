// Methods of `bench sequence` by name: "lasp2", "lasp2-blocking" (without overlap), and where a config has layers of
// both kinds "lasp2+ring": linear layers by the one, softmax layers by the other. "ring" and "ulysses" are names of
// both kinds, and mean both. "ring-left": linear attention in its quadratic form, as the LASP-2 paper ran its rivals.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "framework/bench/sequence/subject.h"

namespace og {

struct SequenceMethod {
  std::string name;
  std::optional<LinearMethod> linear;    // none: what the subject has by itself
  std::optional<SoftmaxMethod> softmax;  // likewise
  bool overlap = true, left_products = false;

  SequenceOptions on(SequenceOptions own) const {
    own.linear = linear.value_or(own.linear);
    own.softmax = softmax.value_or(own.softmax);
    own.overlap = overlap;
    own.left_products = left_products;
    return own;
  }
};

// The kinds of layers that a method can be chosen for; a sliding window takes a halo, whatever the method. left: linear
// without a gate.
struct LayerKinds {
  bool linear = false, softmax = false, left = false;
};
LayerKinds layer_kinds(const SubjectOptions& subject);

// The names that this subject takes, without -blocking and pairs. A config that cannot be loaded: Error(Status::usage).
std::vector<std::string> sequence_method_names(const SubjectOptions& subject);
// Each once, in this order; none given: all. A name that is unknown, or of a kind of layer that the subject does not
// have, is Error(Status::usage).
std::vector<SequenceMethod> sequence_methods(const SubjectOptions& subject, const std::vector<std::string>& names);

}  // namespace og

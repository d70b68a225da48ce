// Which methods a split sequence is worked on by: what the config says, and for `auto` the cheapest that is possible by
// the cost model (parallel/sequence/cost.h), from the shapes of the layers and where the ranks lie. A function of these
// alone: every rank and every start of a run decide the same.
#pragma once

#include <string>

#include "framework/config/config.h"
#include "parallel/mesh/mesh.h"
#include "parallel/sequence/cost.h"

namespace og {

struct SequenceChoice {
  SequenceOptions options;
  std::string reason;  // one line for the log: what was chosen; empty: nothing was left to choose
  std::string costs;   // a line for each kind of layer: what it would cost by the cheapest methods
};

// Collective over mesh.sequence().
SequenceChoice choose_sequence_methods(const Config& config, Mesh& mesh);
// The same of a mesh that is not there: this tensor degree, these sequence ranks on their hosts.
SequenceChoice choose_sequence_methods(const Config& config, int tensor, const GroupLinks& links);

}  // namespace og

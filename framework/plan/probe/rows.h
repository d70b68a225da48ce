// Small models run for a moment as thread ranks of this process: what rows take in memory and send to other ranks,
// measured with the program's own code.
#pragma once

#include <vector>

#include "framework/config/config.h"

namespace og {

struct ProbedRows {
  double peak_bytes = 0;                     // a rank's weights, gradients, activations, working memory
  std::vector<CollectiveCount> collectives;  // from the rank that received most, row by row
};

// `layers` layers of this mixer and channel part between the ends of the model, one row a step.
Config probe_config(Config config, int64_t layers, char mixer, char channel);

// Forward and backward of a row of each of these lengths, once gradients have their memory. Gradients are not summed
// over ranks.
std::vector<ProbedRows> probe_rows(const Config& config, const Degrees& degrees, const std::vector<int64_t>& lengths);

}  // namespace og

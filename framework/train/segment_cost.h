// What train.segment_length means for a run, in words: the segments of a row, and what full softmax layers keep beside
// them.
#pragma once

#include <string>

#include "framework/config/config.h"

namespace og {

// One or two lines; empty: whole rows. element: bytes of a number of the run's tensors.
std::string describe_segments(const Config& config, const Degrees& degrees, int64_t element);

}  // namespace og

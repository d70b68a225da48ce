// What `onegather plan` says of one layout: memory of a rank by kind, bytes and time by collective, time of a step.
// Plain values.
#pragma once

#include <string>
#include <vector>

#include "parallel/comm/comm.h"
#include "parallel/mesh/mesh.h"

namespace og {

// What a plan chooses.
struct Layout {
  Degrees degrees;
  int zero = 0;            // parallel.zero
  int virtual_stages = 1;  // 1: 1F1B; more: interleaved
};

struct CollectiveForecast {
  std::string axis;
  Site site;
  Verb verb;
  double calls = 0, bytes = 0, seconds = 0, exposed = 0;  // one step on one rank
};

struct MemoryForecast {  // bytes of the rank that takes most
  double weights = 0, gradients = 0, optimizer = 0, activations = 0, states = 0, buffers = 0;
  double total() const { return weights + gradients + optimizer + activations + states + buffers; }
};

// The pipeline stage that takes longest; bubble: what it waits for the others.
struct TimeForecast {
  std::vector<CollectiveForecast> collectives;
  double compute_seconds = 0, exposed_seconds = 0, bubble_seconds = 0, overhead_seconds = 0;
  double step_seconds() const { return compute_seconds + exposed_seconds + bubble_seconds + overhead_seconds; }
};

struct Forecast : TimeForecast {
  Layout layout;
  SequenceOptions sequence;  // the methods that it counts with, if degrees.sequence > 1
  MemoryForecast memory;
  double tokens_per_second = 0;
  bool fits = true;
};

}  // namespace og

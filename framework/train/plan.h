// The plan of a run: what every legal layout of its degrees takes in memory, bytes and time on a cluster.
//   step  = compute + exposed communication + pipeline bubble + overhead
//   compute = FLOPs by part / the cluster's rates, saved bytes x passes and the optimizer's bytes / its memory rate
//   exposed = what of a collective is longer than the local work it can hide behind
// Memory comes from probes (layer_probe.h), what layers send to others too (exchange_probe.h: by the sequence methods
// of the config, and for `auto` those that a run would choose), times from the cluster's rates and links (cost.h).
#pragma once

#include <map>

#include "framework/io/json.h"
#include "framework/train/cluster.h"
#include "framework/train/exchange_probe.h"

namespace og {

struct CollectiveForecast {
  std::string axis, site;
  Verb verb;
  double calls = 0, bytes = 0, seconds = 0, exposed = 0;  // of a step on one rank
};

struct MemoryForecast {  // bytes of one rank
  double weights = 0, gradients = 0, optimizer = 0, activations = 0, states = 0, buffers = 0;
  double total() const { return weights + gradients + optimizer + activations + states + buffers; }
};

struct Forecast {
  Degrees degrees;
  SequenceOptions sequence;  // the methods that it counts with, if degrees.sequence > 1
  MemoryForecast memory;
  std::vector<CollectiveForecast> collectives;
  double compute_seconds = 0, exposed_seconds = 0, bubble_seconds = 0, overhead_seconds = 0;
  double tokens_per_second = 0;
  bool fits = true;
  double step_seconds() const { return compute_seconds + exposed_seconds + bubble_seconds + overhead_seconds; }
};

class Planner {
 public:
  // vocab_size is known by now.
  Planner(Config config, Cluster cluster) : config_(std::move(config)), cluster_(std::move(cluster)) {}
  Forecast forecast(const Degrees& degrees);
  // Every layout of this many ranks that the config accepts: those that fit first, the fastest of them first.
  std::vector<Forecast> all(int world_size);

 private:
  const ModelProbe& probe(int tensor);
  const LayerExchanges& exchanges(const LayerProbe& kind, const Degrees& degrees, const SequenceOptions& options);
  Config config_;
  Cluster cluster_;
  std::map<int, ModelProbe> probes_;                 // by tensor degree
  std::map<std::string, LayerExchanges> exchanges_;  // by kind of layer, degrees probed and method
};

std::string layout_name(const Degrees& degrees);  // "data 2, sequence 4, expert 8"
std::string describe(const std::vector<Forecast>& plans, const Config& config, const Cluster& cluster, size_t rows);
Json to_json(const Forecast& forecast);

}  // namespace og

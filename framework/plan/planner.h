// The plan of a run: what every legal layout of its ranks takes in memory, bytes and time on a cluster.
// Memory comes from probes (plan/probe/layer.h), what layers send to others too (plan/probe/exchange.h: by the sequence
// methods of the config, and for `auto` those that a run would choose), times from the cluster's rates and links
// (parallel/comm/link.h).
#pragma once

#include <map>

#include "framework/core/profile.h"
#include "framework/io/json.h"
#include "framework/plan/forecast.h"
#include "framework/plan/layout_search.h"
#include "framework/plan/probe/exchange.h"

namespace og {

class Planner {
 public:
  // vocab_size is known by now.
  Planner(Config config, Cluster cluster) : config_(std::move(config)), cluster_(std::move(cluster)) {}
  Forecast forecast(const Layout& layout);
  // Every legal layout of this many ranks: those that fit first, the fastest of them first. None is legal:
  // Error(Status::usage) naming the nearest and what is wrong with it.
  std::vector<Forecast> all(int world_size);

 private:
  void say(const std::string& what);  // a line of progress, where this takes longer than a few seconds
  const ModelProbe& probe(int tensor);
  const LayerExchanges& exchanges(const LayerProbe& kind, const Degrees& degrees, const SequenceOptions& options);
  Config config_;
  Cluster cluster_;
  double said_ = now_seconds();
  std::map<int, ModelProbe> probes_;                 // by tensor degree
  std::map<std::string, LayerExchanges> exchanges_;  // by kind of layer, degrees probed and method
};

std::string describe(const std::vector<Forecast>& plans, const Config& config, const Cluster& cluster, size_t rows);
Json to_json(const Forecast& forecast);

}  // namespace og

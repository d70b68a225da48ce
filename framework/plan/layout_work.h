// What the ranks of a layout have to do in a step: the tokens of one at once, how often, and which layers each pipeline
// stage holds. What forecasts of memory (plan/memory.h) and time (plan/time.h) are made from.
#pragma once

#include "framework/config/config.h"
#include "framework/plan/cluster.h"
#include "framework/plan/forecast.h"
#include "framework/plan/probe/exchange.h"

namespace og {

// Layers of each kind of the probe.
using LayerCounts = std::vector<double>;

struct Stage {
  std::vector<LayerCounts> chunks;
  bool embeds = false, has_head = false;
  double layers(size_t kind) const;
  // All tensor ranks together.
  double end_elements(const ModelProbe& probe) const;     // embedding, head, final norm
  double shared_elements(const ModelProbe& probe) const;  // what all stages hold of them: a tied embedding
};

// Keeps references: to everything that it is made from.
struct LayoutWork {
  LayoutWork(const Config& config, const Cluster& cluster, const ModelProbe& probe, const Layout& layout,
             const SequenceOptions& sequence, std::vector<const LayerExchanges*> exchanges);

  const Config& config;
  const Cluster& cluster;
  const ModelProbe& probe;
  Layout layout;
  Places places;
  SequenceOptions sequence;
  std::vector<const LayerExchanges*> exchanges;  // as probe.layers; empty where nothing is split
  double element;                                // bytes of a weight, an activation, a gradient that travels
  // On one data rank. Segments are micro steps of fewer tokens; all but the last of a row run forward twice.
  double rows, micro_rows, segments;
  double tokens, most_tokens;  // on one rank at once: the mean, and the longest where pieces differ
  std::vector<Stage> stages;

  bool recomputes() const { return config.train.recompute == "block"; }
  double micro_steps() const { return micro_rows * segments; }
  double hidden_bytes() const { return element * static_cast<double>(config.model.hidden_size) * most_tokens; }
  double dense_elements(const Stage& stage) const;  // layers alone, on one rank
  double expert_elements(const Stage& stage) const;
  // Those whose moments one rank keeps and updates: with ZeRO-1 they are cut over the ranks that sum their gradients,
  // which for a tied embedding are those of all stages.
  double optimizer_elements(const Stage& stage) const;
};

}  // namespace og

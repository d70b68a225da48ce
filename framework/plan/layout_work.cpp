#include "framework/plan/layout_work.h"

#include <cmath>

#include "framework/train/session.h"
#include "parallel/sequence/context.h"
#include "parallel/step/pipeline_schedule.h"

namespace og {

double Stage::layers(size_t kind) const {
  double sum = 0;
  for (const LayerCounts& c : chunks) sum += c[kind];
  return sum;
}

double Stage::shared_elements(const ModelProbe& p) const { return p.end_matrices == 1 ? p.matrix_elements : 0; }

double Stage::end_elements(const ModelProbe& p) const {
  const double shared = shared_elements(p);
  const double own = shared > 0 ? 0 : ((embeds ? 1 : 0) + (has_head ? 1 : 0)) * p.matrix_elements;
  return shared + own + (has_head ? p.norm_elements : 0);
}

namespace {

std::vector<Stage> deal_layers(const ModelProbe& probe, const Layout& layout) {
  const int stages = layout.degrees.pipeline, chunks = pipeline_chunks(stages, layout.virtual_stages);
  const std::vector<int64_t> begin = split_evenly(std::ssize(probe.order), chunks);
  std::vector<Stage> out(static_cast<size_t>(stages));
  for (int c = 0; c < chunks; ++c) {
    LayerCounts counts(probe.layers.size(), 0);
    for (int64_t i = begin[static_cast<size_t>(c)]; i < begin[static_cast<size_t>(c) + 1]; ++i)
      counts[probe.order[static_cast<size_t>(i)]] += 1;
    out[static_cast<size_t>(stage_of_chunk(c, stages))].chunks.push_back(counts);
  }
  out.front().embeds = out.back().has_head = true;
  return out;
}

}  // namespace

LayoutWork::LayoutWork(const Config& config_, const Cluster& cluster_, const ModelProbe& probe_, const Layout& layout_,
                       const SequenceOptions& sequence_, std::vector<const LayerExchanges*> exchanges_)
    : config(config_),
      cluster(cluster_),
      probe(probe_),
      layout(layout_),
      places(cluster_, layout_.degrees.world()),
      sequence(sequence_),
      exchanges(std::move(exchanges_)) {
  element = static_cast<double>(size_of(resolve_precision(config.train.precision).dtype));
  const auto length = static_cast<double>(config.data.sequence_length);
  const double segment = config.train.segment_length > 0 ? static_cast<double>(config.train.segment_length) : length;
  rows = static_cast<double>(config.train.micro_batch_size);
  micro_rows = static_cast<double>(config.rows_per_step()) / (rows * layout.degrees.data);
  segments = std::max(1.0, std::ceil(length / segment));
  tokens = rows * length / segments / layout.degrees.sequence;
  most_tokens = rows * std::ceil(std::min(segment, length) / layout.degrees.sequence);
  stages = deal_layers(probe, layout);
}

double LayoutWork::dense_elements(const Stage& stage) const {
  double sum = 0;
  for (size_t i = 0; i < probe.layers.size(); ++i)
    sum += stage.layers(i) * (probe.layers[i].dense + probe.layers[i].tensor_cut / layout.degrees.tensor);
  return sum;
}

double LayoutWork::expert_elements(const Stage& stage) const {
  double sum = 0;
  for (size_t i = 0; i < probe.layers.size(); ++i)
    sum += stage.layers(i) * probe.layers[i].expert / layout.degrees.expert;
  return sum;
}

double LayoutWork::optimizer_elements(const Stage& stage) const {
  const Degrees& d = layout.degrees;
  const double ends = stage.end_elements(probe) / d.tensor;
  if (layout.zero == 0) return dense_elements(stage) + ends + expert_elements(stage);
  const double shared = stage.shared_elements(probe) / d.tensor;
  return (dense_elements(stage) + ends - shared + shared / d.pipeline) / d.tokens() +
         expert_elements(stage) / d.expert_data();
}

}  // namespace og

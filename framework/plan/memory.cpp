#include "framework/plan/memory.h"

#include <algorithm>
#include <cmath>

#include "parallel/step/pipeline_schedule.h"

namespace og {

namespace {

// Bytes that a chunk keeps of one micro step for its backward pass.
double saved_bytes(const LayoutWork& w, const LayerCounts& chunk) {
  double bytes = 0;
  for (size_t i = 0; i < chunk.size(); ++i)
    bytes += chunk[i] * (w.recomputes() ? w.hidden_bytes() : w.probe.layers[i].saved_per_token * w.most_tokens);
  return bytes;
}

// The most bytes that a stage keeps for backward at any time of its schedule.
double in_flight_bytes(const LayoutWork& w, size_t stage) {
  const int stages = w.layout.degrees.pipeline, chunks = static_cast<int>(w.stages[stage].chunks.size());
  std::vector<double> saved;
  for (const LayerCounts& chunk : w.stages[stage].chunks) {
    saved.push_back(saved_bytes(w, chunk));
    // A chunk also keeps its input, from the chunk before it. ModelProbe::ends counts that of the head's chunk.
    const bool last = w.stages[stage].has_head && saved.size() == w.stages[stage].chunks.size();
    if (!last) saved.back() += w.hidden_bytes();
  }
  const double units = w.segments > 1 ? w.segments : std::ceil(w.micro_rows);
  double now = 0, most = 0;
  for (const PipelineAction& a :
       pipeline_actions(static_cast<int>(stage), stages, chunks, static_cast<int64_t>(units))) {
    const double bytes = saved[static_cast<size_t>(a.chunk / stages)];
    most = std::max(most, now += a.forward ? bytes : -bytes);
  }
  return most;
}

MemoryForecast of_stage(const LayoutWork& w, size_t index) {
  const Degrees& d = w.layout.degrees;
  const Stage& stage = w.stages[index];
  double working = 0, states = 0, gathered = 0;
  for (size_t i = 0; i < w.probe.layers.size(); ++i) {
    const LayerProbe& k = w.probe.layers[i];
    const double count = stage.layers(i);
    if (count == 0) continue;
    double own = std::max(0.0, k.working.at(w.most_tokens));
    if (w.recomputes()) own += k.saved_per_token * w.most_tokens;
    working = std::max(working, own);
    if (d.sequence > 1) states += count * k.state_bytes * w.rows;
    // Every segment keeps its entry state and its exit state. A softmax layer keeps, on every rank, three tensors as
    // long as the row: the keys and values of the row, the copy of them that a segment extends, and their gradients.
    if (w.segments > 1)
      states += count * w.rows * 2 * w.segments * k.state_bytes +
                count * 3 * k.keys_bytes * w.most_tokens * w.segments * d.sequence;
    if (d.sequence > 1)
      gathered = std::max(gathered, (k.state_bytes * w.rows + 2 * k.keys_bytes * w.most_tokens) * d.sequence);
  }
  const double dense = w.dense_elements(stage) + stage.end_elements(w.probe) / d.tensor,
               expert = w.expert_elements(stage), own = dense + expert;
  MemoryForecast m;
  m.weights = w.element * own;
  m.gradients = w.element * own;
  m.optimizer = 2 * w.element * w.optimizer_elements(stage);
  m.states = states;
  m.activations = in_flight_bytes(w, index);
  // With ZeRO-1 buckets hold a copy of every weight while they are gathered, and the pieces that travel. Activations
  // are free by then, so that only what is larger than they are is added.
  const bool cut = w.layout.zero > 0;
  const auto bucket = [&](double elements, int copies) {
    return cut && copies > 1 ? elements * (1 + 1.0 / copies) : 0;
  };
  const double summed = bucket(dense, d.tokens()) + bucket(expert, d.expert_data());
  const double staged = std::max(0.0, w.element * summed - m.activations);
  m.buffers = std::max(working + gathered + staged, stage.has_head ? w.probe.ends.at(w.most_tokens) : 0) +
              std::max(0.0, w.probe.bytes_per_element - 2 * w.element) * own;
  return m;
}

}  // namespace

MemoryForecast forecast_memory(const LayoutWork& work) {
  MemoryForecast most;
  for (size_t s = 0; s < work.stages.size(); ++s)
    if (const MemoryForecast m = of_stage(work, s); m.total() > most.total()) most = m;
  return most;
}

}  // namespace og

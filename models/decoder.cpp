#include "models/decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "framework/core/rng.h"
#include "framework/ops/shape.h"

namespace og {

Decoder::Decoder(Context& cx, Mesh& mesh, HybridLM& model)
    : cx_(cx), mesh_(mesh), model_(model), states_(model.blocks().size()) {
  OG_CHECK(mesh.sequence().size() == 1, "decoding runs on one sequence rank, found {}", mesh.sequence().size());
}

Tensor Decoder::read(std::span<const int32_t> tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  OG_CHECK(count > 0, "decoder: nothing to read");
  const Tensor ids = cx_.empty({1, count}, DType::i32);
  std::copy(tokens.begin(), tokens.end(), ids.data<int32_t>());
  SeqContext seq;
  seq.comm = &mesh_.sequence();
  seq.num_rows = 1;
  seq.length = count;
  seq.first = {0, count};
  seq.start_BT = Tensor::full(*cx_.pool, {1, count}, DType::i32, static_cast<double>(-seen_));
  seq.single_document = seen_ == 0;
  Tape tape(cx_, Tape::Mode::no_gradient);
  StepContext step{tape, mesh_, seq, 1, false};
  SideOutputs side;
  const Value hidden = model_.hidden(step, ids, &states_, side);
  seen_ += count;
  Tensor logits;
  if (hidden.defined()) {
    const Tensor last = hidden.tensor().reshape({count, hidden.size(-1)}).slice(count - 1, count);
    logits = model_.logits(step, Value(last, hidden.place()));
    logits = logits.reshape({logits.count()});
  }
  Comm& pipeline = mesh_.pipeline();
  if (pipeline.size() == 1) return logits;
  // All stages draw the same token; its logits come from the last.
  const PipelineStages stages(mesh_);
  const int from = stages.owner(stages.chunks() - 1);
  if (!logits.defined()) logits = cx_.empty({model_.config().vocab_size}, model_.dtype());
  pipeline.broadcast(logits, from, Sites::pipeline_forward).wait();
  return logits;
}

int64_t Decoder::state_bytes() const {
  int64_t bytes = 0;
  for (const MixerState& state : states_)
    for (const auto& [name, value] : state.values) bytes += value.defined() ? value.tensor().bytes() : 0;
  return bytes;
}

int32_t sample_token(const Tensor& logits, const SamplingOptions& options, int64_t position) {
  const int64_t vocab = logits.count();
  std::vector<double> score(static_cast<size_t>(vocab));
  for (int64_t i = 0; i < vocab; ++i) score[static_cast<size_t>(i)] = logits.at(i);
  std::vector<int32_t> order(score.size());
  std::iota(order.begin(), order.end(), 0);
  const auto before = [&](int32_t a, int32_t b) {
    const double x = score[static_cast<size_t>(a)], y = score[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  if (options.temperature <= 0) return *std::min_element(order.begin(), order.end(), before);
  std::sort(order.begin(), order.end(), before);
  if (options.top_k > 0 && options.top_k < vocab) order.resize(static_cast<size_t>(options.top_k));
  const double most = score[static_cast<size_t>(order[0])];
  std::vector<double> weight;
  double total = 0;
  for (int32_t id : order)
    total += weight.emplace_back(std::exp((score[static_cast<size_t>(id)] - most) / options.temperature));
  if (options.top_p < 1) {
    double sum = 0;
    size_t keep = 0;
    while (keep < weight.size() && (keep == 0 || sum < options.top_p * total)) sum += weight[keep++];
    weight.resize(keep);
    total = sum;
  }
  double draw = total * random_uniform(random_key(options.seed, "sample"), static_cast<uint64_t>(position));
  for (size_t i = 0; i + 1 < weight.size(); ++i) {
    if (draw < weight[i]) return order[i];
    draw -= weight[i];
  }
  return order[weight.size() - 1];
}

}  // namespace og

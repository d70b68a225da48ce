#include "framework/train/flops.h"

#include <string_view>

#include "framework/nn/registry.h"

namespace og {

namespace {

// By the naming convention of CONTRIBUTING.md: a matrix that tokens are multiplied with is called *_proj.weight, or is
// a router's gate, the head, or one of the two factors of a low-rank projection.
bool is_product(std::string_view name) {
  for (std::string_view end : {"_proj.weight", "gate.weight", ".down.weight", ".up.weight"})
    if (name.ends_with(end)) return true;
  return false;
}

}  // namespace

ModelFlops flops_per_token(HybridLM& model, const ParameterStore& store, int64_t sequence_length) {
  const ModelConfig& config = model.config();
  ModelFlops flops;
  flops.head = 2.0 * static_cast<double>(config.vocab_size * config.hidden_size);
  for (const Parameter& p : store.all()) {
    const std::string& name = p.record.name;
    if (!is_product(name)) continue;
    const auto count = 2.0 * static_cast<double>(p.record.global_shape.count());
    if (p.record.shard != Shard::expert) {
      flops.products += count;
      continue;
    }
    constexpr std::string_view kPrefix = "model.layers.";
    const int64_t layer = std::stoll(name.substr(kPrefix.size()));
    const Options& moe = config.channel(layer);
    flops.experts += count * static_cast<double>(moe.integer("num_experts_per_tok")) /
                     static_cast<double>(moe.integer("num_experts"));
  }
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const double own = model.blocks()[static_cast<size_t>(layer)].mixer->flops_per_token(sequence_length);
    (kind_of(config.mixer(layer)) == MixerKind::recurrence ? flops.mixers : flops.attention) += own;
  }
  return flops;
}

}  // namespace og

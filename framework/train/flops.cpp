#include "framework/train/flops.h"

#include "framework/nn/registry.h"

namespace og {

ModelFlops flops_per_token(HybridLM& model, const ParameterStore& store, int64_t sequence_length) {
  const ModelConfig& config = model.config();
  ModelFlops flops;
  flops.head = 2.0 * static_cast<double>(config.vocab_size * config.hidden_size);
  for (const Parameter& p : store.all())
    if (p.record.role == ParameterRole::product)
      flops.products += 2.0 * static_cast<double>(p.record.global_shape.count());
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const Options &mixer = config.mixer(layer), &channel = config.channel(layer);
    const MixerType& type = mixer_type(mixer);
    const double own = type.flops_per_token(mixer, config.hidden_size, sequence_length);
    (type.kind(mixer) == MixerKind::recurrence ? flops.mixers : flops.attention) += own;
    const auto& experts = find_channel_type(channel.type)->flops_per_token;
    if (experts) flops.experts += experts(channel, config.hidden_size);
  }
  return flops;
}

}  // namespace og

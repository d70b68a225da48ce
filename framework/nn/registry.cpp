#include "framework/nn/registry.h"

#include "framework/nn/channels/mlp.h"
#include "framework/nn/channels/moe.h"
#include "framework/nn/mixers/attention.h"
#include "framework/nn/mixers/mixers.h"

namespace og {

std::span<const MixerType> mixer_types() {
  static const std::vector<MixerType> types{
      attention_type(), linear_type(), retention_type(), lightning_type(), simple_gla_type(),
      mamba2_type(),    gla_type(),    hgrn2_type(),     delta_net_type(), gated_delta_net_type(),
  };
  return types;
}

std::span<const ChannelType> channel_types() {
  static const std::vector<ChannelType> types{mlp_type(), moe_type()};
  return types;
}

const MixerType* find_mixer_type(const std::string& name) {
  for (const MixerType& t : mixer_types())
    if (t.name == name) return &t;
  return nullptr;
}

const MixerType& mixer_type(const Options& mixer) {
  const MixerType* type = find_mixer_type(mixer.type);
  OG_CHECK(type != nullptr, "{}: no mixer type {}", mixer.where, mixer.type);
  return *type;
}

MixerKind kind_of(const Options& mixer) { return mixer_type(mixer).kind(mixer); }

const ChannelType* find_channel_type(const std::string& name) {
  for (const ChannelType& t : channel_types())
    if (t.name == name) return &t;
  return nullptr;
}

}  // namespace og

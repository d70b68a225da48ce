#include "framework/config/config.h"

namespace og {

ConfigRules config_rules(int world_size, bool needs_training_data) {
  return {mixer_types(), channel_types(), world_size, needs_training_data};
}

void set_mixer(ModelConfig& model, char letter, const std::string& type,
               const std::map<std::string, OptionValue>& values) {
  const std::string where = std::string("model.mixers.") + letter;
  model.mixers[letter] = options_of(mixer_type({.type = type, .where = where, .values = {}}), where, values);
}

void set_channel(ModelConfig& model, char letter, const std::string& type,
                 const std::map<std::string, OptionValue>& values) {
  const ChannelType* found = find_channel_type(type);
  OG_CHECK(found != nullptr, "no channel type {}", type);
  model.channels[letter] = options_of(*found, std::string("model.channels.") + letter, values);
}

}  // namespace og

#include "framework/config/config.h"

namespace og {

ConfigRules config_rules(int world_size, bool needs_training_data) {
  return {mixer_types(), channel_types(), world_size, needs_training_data};
}

}  // namespace og

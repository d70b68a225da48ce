// What a config says that is legal and seldom meant: said at the start of a run and by --dry-run, never refused.
#pragma once

#include <string>
#include <vector>

#include "framework/config/config.h"

namespace og {

// One line each: "train.schedule.warmup_steps: 1000 of 20 steps ...".
std::vector<std::string> config_notes(const Config& config);

}  // namespace og

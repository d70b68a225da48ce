// What `onegather train --dry-run` prints.
#pragma once

#include <string>

#include "framework/config/config.h"
#include "parallel/comm/comm.h"

namespace og {

// Collective over the world: every key with its origin, the mesh, sizes, FLOPs, memory of weights and optimizer. Builds
// the model's shapes and reads no data.
std::string describe_run(Config config, Comm& world);

}  // namespace og

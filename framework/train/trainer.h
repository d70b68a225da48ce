// The loop of `onegather train`: data, steps, evaluation, checkpoints, metrics, stopping and resuming.
#pragma once

#include <string>

#include "framework/config/config.h"
#include "framework/train/start.h"
#include "parallel/comm/comm.h"

namespace og {

// Collective over the world. Status::ok when the run is done, Status::interrupted when it was asked to stop and has
// saved.
Status train(Config config, Comm& world, const TrainOptions& options);

}  // namespace og

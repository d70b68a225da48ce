// TrainedModel: a model as a checkpoint holds it, ready to run on the ranks at hand: what eval and generate begin with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "framework/data/tokenizer.h"
#include "framework/train/session.h"

namespace og {

struct TrainedModel {
  std::string checkpoint;  // folder
  int64_t step = 0;
  Config config;  // the checkpoint's, with the overrides
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Session> session;
};

// Collective. path: a checkpoint or a run folder. Unless overrides say otherwise all ranks go to the data axis.
// Everything that is wrong with path is Error(Status::data).
TrainedModel open_trained_model(const std::string& path, const std::vector<std::string>& overrides, Comm& world);

}  // namespace og

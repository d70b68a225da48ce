// Where a run begins: with fresh weights, with somebody's weights (--init), or where a checkpoint stands. What is in
// run.dir is read and nothing is changed, so that it may be asked before the folder is made.
//
// `auto` takes the newest checkpoint of run.dir. A checkpoint that --resume names begins a branch: every checkpoint
// that is saved after it says so, by the content of what was named. The same command then goes on from the newest
// checkpoint of its branch; checkpoints of run.dir that do not descend from what was named are left behind.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "framework/config/config.h"
#include "framework/train/snapshot.h"

namespace og {

struct TrainOptions {
  std::string resume = "auto";  // auto, never, or the path of a checkpoint
  std::string init;             // weights to start from, without optimizer state; empty: none
};

struct Start {
  std::optional<Checkpoint> checkpoint;  // the run goes on from this one
  std::optional<Checkpoint> weights;     // else, if there, it begins at step 0 with these
  bool in_run_folder = false;            // the checkpoint is one of run.dir: the metrics up to its step stay
  std::vector<SnapshotSource> sources;   // for the notes of this run's checkpoints
  std::vector<std::string> left_behind;  // checkpoints of run.dir that this branch does not go on from, oldest first
  std::vector<std::string> remarks;      // on options that are not taken as they stand
  std::string text;                      // "resumed from ... at step 4"
};

// Error(Status::data) where options name nothing that is there, or run.dir may not hold checkpoints and does.
Start find_start(const Config& config, const TrainOptions& options);

// Refuses a checkpoint of another model, seed or tokenizer, and, if `data` is not empty, of other data. Returns what
// differs and may, a line a key.
std::vector<std::string> check_same_run(const Checkpoint& checkpoint, Config config,
                                        const std::string& tokenizer_identity, const std::string& data_identity);

// For --dry-run, and before anything else of a run: find_start and check_same_run without data, as lines of text.
std::string describe_start(const Config& config, const TrainOptions& options);

}  // namespace og

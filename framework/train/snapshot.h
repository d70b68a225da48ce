// Snapshot: a training run's state as a checkpoint: weights, AdamW moments, and where the run stands.
#pragma once

#include <string>

#include "framework/data/loader.h"
#include "framework/io/checkpoint.h"
#include "framework/optim/adamw.h"

namespace og {

struct RunPosition {
  int64_t step = 0;  // optimizer steps done
  int64_t rows = 0;  // rows of data consumed: the loader's position
  int64_t tokens = 0;
  double seconds = 0;  // time spent training
};

// A checkpoint that somebody named, with --resume or --init, for a run to begin with.
struct SnapshotSource {
  enum class Kind : uint8_t { resume, init } kind = Kind::resume;
  std::string path;  // absolute, as it was then
  int64_t step = 0;
  std::string id;  // Checkpoint::id
};

// What travels in a checkpoint's index besides tensors.
struct SnapshotNotes {
  RunPosition position;
  std::string config;     // YAML, resolved
  std::string tokenizer;  // identity
  std::string data;       // identity of data.train
  int64_t row_rule = kRowRule;
  // The oldest first. Starts that went on from the run folder's newest checkpoint by themselves are not among them:
  // they are the same branch.
  std::vector<SnapshotSource> sources{};
  bool tried = false;  // its weights gave a loss before they were saved; older files do not say so
};
Json to_json(const SnapshotNotes& notes);
// Not written by this program: Error(Status::data) naming folder and key.
SnapshotNotes notes_of(const Checkpoint& checkpoint);

// The tensors of the model, and with an optimizer its moments ("optimizer.first.<parameter>", ...), as this rank holds
// them.
std::vector<CheckpointTensor> snapshot_tensors(ParameterStore& store, AdamW* optimizer);

// Collective. Writes checkpoints/step-<step> of the run folder; returns its path.
std::string save_snapshot(const std::string& run_folder, Comm& world, ParameterStore& store, AdamW& optimizer,
                          const SnapshotNotes& notes);

// Collective. Weights, and the optimizer's state if one is given. f32 weights load into f64 models and back where only
// weights are asked for.
void load_snapshot(const Checkpoint& checkpoint, Comm& world, ParameterStore& store, AdamW* optimizer);

}  // namespace og

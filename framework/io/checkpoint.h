// Checkpoints: a folder of safetensors shards and one index.json that says, for every tensor, its name, type and global
// shape and the boxes it is cut into, each with file, offset and checksum. Nothing in it depends on how many ranks
// wrote it, so it loads at any other layout. A folder appears under its name only when it is complete and on the disk.
//
// save and load are collective over `world`: every rank calls with the same names in any order. An error of one rank is
// thrown on all of them, Error(Status::data) naming file and tensor.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "framework/core/tensor.h"
#include "framework/io/json.h"
#include "parallel/comm/comm.h"

namespace og {

// One tensor's box on this rank: elements [begin, begin + tensor.shape()) of every dim of the global tensor.
struct CheckpointTensor {
  std::string name;  // "model.embed_tokens.weight"
  Shape global_shape;
  Shape begin;
  Tensor tensor;                 // f32, f64, i32 or i64; read by save, written by load
  bool this_rank_writes = true;  // true on exactly one of the ranks that hold the same box
};

struct CheckpointBox {
  Shape begin, extent;
  std::string file;      // within the folder
  int64_t offset = 0;    // bytes, in the file
  std::string checksum;  // XXH3-128 of the box's bytes, hexadecimal
};

struct CheckpointEntry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<CheckpointBox> boxes;  // disjoint, together the whole tensor
};

// The index of a checkpoint, read and checked; the shards are not opened.
class Checkpoint {
 public:
  explicit Checkpoint(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const Json& metadata() const { return metadata_; }
  // Covers everything in it, tensors' checksums and metadata: equal for copies, wherever they lie, and for nothing
  // else.
  const std::string& id() const { return id_; }
  const std::vector<CheckpointEntry>& entries() const { return entries_; }
  const CheckpointEntry* find(const std::string& name) const;

  // The shards with their sizes and the checksums of their headers.
  struct File {
    std::string name;
    int64_t bytes = 0;
    std::string header_checksum;
  };
  const std::vector<File>& files() const { return files_; }

  // Reads every byte of every file and compares it with the index.
  void verify() const;

 private:
  std::string folder_, id_;
  Json metadata_;
  std::vector<CheckpointEntry> entries_;
  std::vector<File> files_;
};

// Writes `folder` (".../checkpoints/step-00000100"): first folder.part, every file synced, the index last, then
// renamed. An existing checkpoint of that name is replaced in one step. metadata (an object, rank 0's) travels in the
// index. The boxes of all ranks that write must cover every tensor exactly once. NaN or infinity in any of them:
// Error(Status::numbers) on all ranks, naming the tensor, and nothing is left.
void save_checkpoint(const std::string& folder, std::span<const CheckpointTensor> tensors, const Json& metadata,
                     Comm& world);

struct LoadOptions {
  // Tensors of the checkpoint with such beginnings of their names are left alone: {"optimizer."}.
  std::vector<std::string> ignored_prefixes{};
  bool convert_reals = false;  // f32 into f64 and back; else another type is refused
};
// Fills every tensor from the checkpoint and checks the checksum of every box of theirs. Names or shapes that differ:
// "checkpoint of another model", naming the first. NaN or infinity (old files): Error(Status::numbers).
void load_checkpoint(const Checkpoint& checkpoint, std::span<const CheckpointTensor> tensors, Comm& world,
                     const LoadOptions& options = {});

// A run folder keeps checkpoints/step-<eight digits>.
std::string checkpoint_folder(const std::string& run_folder, int64_t step);
// The complete checkpoints of a run folder, oldest first; a folder without any: empty.
std::vector<std::string> list_checkpoints(const std::string& run_folder);
// "; did you mean run/checkpoints/step-00000090?" of run/checkpoints/step-90; "" where no such checkpoint is meant.
std::string did_you_mean_checkpoint(const std::string& path);
// path: a checkpoint folder, or a run folder, whose newest one is meant. Neither: Error(Status::data).
std::string find_checkpoint(const std::string& path);
// Counts `newest`, which was just saved, and the checkpoints of earlier steps, and removes the oldest until `keep` are
// left. One rank calls it.
void remove_old_checkpoints(const std::string& run_folder, const std::string& newest, int64_t keep);
// Moves these checkpoints of the run folder to a new folder checkpoints/abandoned-at-step-<step> and returns it. There
// they are checkpoints still, but none of the run's.
std::string set_aside_checkpoints(const std::string& run_folder, const std::vector<std::string>& checkpoints,
                                  int64_t step);

}  // namespace og

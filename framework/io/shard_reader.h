// The shards of a checkpoint, mapped as they are needed and compared with the index. Errors name file and tensor.
#pragma once

#include <map>

#include "framework/io/checkpoint.h"
#include "framework/io/file.h"

namespace og {

class ShardReader {
 public:
  explicit ShardReader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // Maps the file, once; refuses it if it is missing or its size or header is not what the index says.
  const MappedFile& open(const std::string& name);
  std::span<const std::byte> bytes(const CheckpointEntry& entry, const CheckpointBox& box);
  // Refuses the box if its checksum is wrong.
  void verify(const CheckpointEntry& entry, const CheckpointBox& box);

 private:
  std::string tensors_of(const std::string& file) const;  // for messages
  const Checkpoint& checkpoint_;
  std::map<std::string, MappedFile> open_;
};

}  // namespace og

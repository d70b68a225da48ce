#include "framework/io/shard_reader.h"

#include <algorithm>

#include "framework/io/checksum.h"

namespace og {

std::string ShardReader::tensors_of(const std::string& file) const {
  std::string first;
  int64_t more = -1;
  for (const CheckpointEntry& entry : checkpoint_.entries())
    if (std::any_of(entry.boxes.begin(), entry.boxes.end(), [&](const CheckpointBox& b) { return b.file == file; })) {
      if (first.empty()) first = entry.name;
      ++more;
    }
  return more > 0 ? fmt::format("it holds tensor {} and {} more", first, more)
                  : fmt::format("it holds tensor {}", first);
}

const MappedFile& ShardReader::open(const std::string& name) {
  const auto found = open_.find(name);
  if (found != open_.end()) return found->second;
  const std::string path = checkpoint_.folder() + "/" + name;
  const auto& files = checkpoint_.files();
  const auto listed =
      std::find_if(files.begin(), files.end(), [&](const Checkpoint::File& f) { return f.name == name; });
  if (listed == files.end() || name.find('/') != std::string::npos)
    fail(Status::data, "{}/index.json: names the file {}, which is not one of its own", checkpoint_.folder(), name);
  MappedFile file;
  try {
    file = MappedFile(path);
  } catch (const Error& e) {
    fail(Status::data, "the checkpoint is damaged: {} ({})", e.what(), tensors_of(name));
  }
  if (file.size() != listed->bytes)
    fail(Status::data, "the checkpoint is damaged: {} has {} bytes, {} were saved ({})", path, file.size(),
         listed->bytes, tensors_of(name));
  // The header ends where the first box begins.
  int64_t header = file.size();
  for (const CheckpointEntry& entry : checkpoint_.entries())
    for (const CheckpointBox& box : entry.boxes)
      if (box.file == name) header = std::min(header, box.offset);
  if (header < 0 || checksum(file.bytes().first(static_cast<size_t>(header))) != listed->header_checksum)
    fail(Status::data, "the checkpoint is damaged: the header of {} is not the one that was saved ({})", path,
         tensors_of(name));
  return open_.emplace(name, std::move(file)).first->second;
}

std::span<const std::byte> ShardReader::bytes(const CheckpointEntry& entry, const CheckpointBox& box) {
  const MappedFile& file = open(box.file);
  const int64_t count = box.extent.count() * size_of(entry.dtype);
  if (count < 0 || box.offset < 0 || box.offset + count > file.size())
    fail(Status::data, "{}: tensor {} lies outside of the file", file.path(), entry.name);
  return file.bytes().subspan(static_cast<size_t>(box.offset), static_cast<size_t>(count));
}

void ShardReader::verify(const CheckpointEntry& entry, const CheckpointBox& box) {
  const std::string found = checksum(bytes(entry, box));
  if (found != box.checksum)
    fail(Status::data, "the checkpoint is damaged: {}/{}: tensor {}, elements from {}: checksum {}, expected {}",
         checkpoint_.folder(), box.file, entry.name, box.begin.str(), found, box.checksum);
}

}  // namespace og

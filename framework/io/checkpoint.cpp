#include "framework/io/checkpoint.h"

#include <algorithm>
#include <filesystem>

#include "framework/io/checksum.h"
#include "framework/io/file.h"
#include "framework/io/shard_reader.h"

namespace og {

namespace {

namespace fs = std::filesystem;

Shape read_shape(const Json& json) {
  Shape shape;
  for (const Json& extent : json.items()) shape.push_back(extent.integer());
  return shape;
}

DType read_dtype(const std::string& name) {
  for (DType t : {DType::f32, DType::f64, DType::i32, DType::i64})
    if (name == name_of(t)) return t;
  fail(Status::data, "unknown type {}", name);
}

// The number in "step-00000100", -1 if it is no such name. `tail` is what follows the digits.
int64_t step_of(const std::string& name, std::string& tail) {
  const std::string prefix = "step-";
  size_t end = prefix.size();
  while (end < name.size() && name[end] >= '0' && name[end] <= '9') ++end;
  if (!name.starts_with(prefix) || end == prefix.size() || end > prefix.size() + 18) return -1;
  tail = name.substr(end);
  return std::stoll(name.substr(prefix.size(), end - prefix.size()));
}

}  // namespace

Checkpoint::Checkpoint(const std::string& folder) : folder_(folder) {
  const std::string path = folder + "/index.json";
  std::error_code error;
  if (!fs::exists(path, error))
    fail(Status::data, "{}: not a checkpoint, or an incomplete one: it has no index.json", folder);
  const Json index = Json::parse(read_text(path), path);
  const Json* format = index.find("format");
  if (!format || format->kind() != Json::Kind::string || format->string() != "onegather checkpoint")
    fail(Status::data, "{}: not the index of a onegather checkpoint", path);
  try {
    if (index["version"].integer() != 1)
      fail(Status::data, "written in version {} of the format, this program reads 1", index["version"].integer());
    const Json& content = index["content"];
    id_ = index["checksum"].string();
    if (checksum(content.dump()) != id_) fail(Status::data, "damaged: its checksum is not that of its content");
    for (const Json& file : content["files"].items())
      files_.push_back({file["name"].string(), file["bytes"].integer(), file["header_checksum"].string()});
    for (const Json& tensor : content["tensors"].items()) {
      CheckpointEntry entry;
      entry.name = tensor["name"].string();
      entry.dtype = read_dtype(tensor["type"].string());
      entry.shape = read_shape(tensor["shape"]);
      for (const Json& box : tensor["boxes"].items())
        entry.boxes.push_back({read_shape(box["begin"]), read_shape(box["shape"]), box["file"].string(),
                               box["offset"].integer(), box["checksum"].string()});
      entries_.push_back(std::move(entry));
    }
    metadata_ = content["metadata"];
  } catch (const Error& e) {
    fail(Status::data, "{}: {}", path, e.what());
  }
}

const CheckpointEntry* Checkpoint::find(const std::string& name) const {
  for (const CheckpointEntry& entry : entries_)
    if (entry.name == name) return &entry;
  return nullptr;
}

void Checkpoint::verify() const {
  ShardReader shards(*this);
  for (const File& file : files_) shards.open(file.name);
  for (const CheckpointEntry& entry : entries_)
    for (const CheckpointBox& box : entry.boxes) shards.verify(entry, box);
}

std::string checkpoint_folder(const std::string& run_folder, int64_t step) {
  return fmt::format("{}/checkpoints/step-{:08}", run_folder, step);
}

std::vector<std::string> list_checkpoints(const std::string& run_folder) {
  std::vector<std::pair<int64_t, std::string>> found;
  std::error_code error;
  for (const auto& item : fs::directory_iterator(run_folder + "/checkpoints", error)) {
    std::string tail;
    const int64_t step = step_of(item.path().filename().string(), tail);
    if (step < 0 || !item.is_directory()) continue;
    // Moved aside while its successor of the same name was renamed, where the file system cannot swap two folders.
    const std::string path = item.path().string();
    const bool stranded = tail == ".old" && !fs::exists(path.substr(0, path.size() - tail.size()));
    if (tail.empty() || stranded) found.emplace_back(step, path);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> paths;
  for (const auto& [step, path] : found) paths.push_back(path);
  return paths;
}

std::string did_you_mean_checkpoint(const std::string& path) {
  std::string text = path, tail;
  while (text.ends_with('/')) text.pop_back();
  const int64_t step = step_of(fs::path(text).filename().string(), tail);
  if (step < 0 || !tail.empty()) return "";
  const std::string meant = (fs::path(text).parent_path() / fmt::format("step-{:08}", step)).string();
  std::error_code error;
  return fs::exists(meant + "/index.json", error) ? fmt::format("; did you mean {}?", meant) : "";
}

std::string find_checkpoint(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) fail(Status::data, "{}: no such folder{}", path, did_you_mean_checkpoint(path));
  if (fs::exists(path + "/index.json", error)) return path;
  const std::vector<std::string> all = list_checkpoints(path);
  if (all.empty())
    fail(Status::data, "{}: no checkpoint here: expected a run folder with checkpoints/ or a folder with index.json",
         path);
  return all.back();
}

void remove_old_checkpoints(const std::string& run_folder, const std::string& newest, int64_t keep) {
  std::vector<std::string> all = list_checkpoints(run_folder);
  all.erase(std::find(all.begin(), all.end(), newest), all.end());
  all.push_back(newest);
  for (size_t i = 0; i + static_cast<size_t>(std::max<int64_t>(keep, 1)) < all.size(); ++i) {
    // Renamed first: one that is half gone must not be taken for a checkpoint.
    const std::string going = all[i] + ".part";
    std::error_code error;
    fs::rename(all[i], going, error);
    if (error) fail(Status::data, "cannot remove {}: {}", all[i], error.message());
    fs::remove_all(going, error);
    if (error) fail(Status::data, "cannot remove {}: {}", going, error.message());
  }
}

std::string set_aside_checkpoints(const std::string& run_folder, const std::vector<std::string>& checkpoints,
                                  int64_t step) {
  const std::string wanted = fmt::format("{}/checkpoints/abandoned-at-step-{:08}", run_folder, step);
  std::string folder = wanted;
  for (int n = 2; fs::exists(folder); ++n) folder = fmt::format("{}-{}", wanted, n);
  make_folders(folder);
  std::error_code error;
  // The newest last: killed on the way, a start without --resume still finds what it would have found before.
  for (const std::string& path : checkpoints) {
    std::string tail;
    const int64_t own_step = step_of(fs::path(path).filename().string(), tail);
    fs::rename(path, fmt::format("{}/step-{:08}", folder, own_step), error);
    if (error) fail(Status::data, "cannot move {} to {}: {}", path, folder, error.message());
  }
  sync_folder(folder);
  sync_folder(run_folder + "/checkpoints");
  return folder;
}

}  // namespace og

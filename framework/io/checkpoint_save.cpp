#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include "framework/core/finite.h"
#include "framework/core/text.h"
#include "framework/io/checkpoint.h"
#include "framework/io/checksum.h"
#include "framework/io/safetensors.h"
#include "parallel/comm/together.h"

namespace og {

namespace {

namespace fs = std::filesystem;

constexpr Site kSite = Sites::checkpoint;

Json to_json(const Shape& shape) {
  Json list = Json::array();
  for (int i = 0; i < shape.rank(); ++i) list.push(shape[i]);
  return list;
}

// "name", or "name@0,128" for a box that begins elsewhere than at 0 or is not the whole.
std::string name_in_shard(const CheckpointTensor& t) {
  if (t.tensor.shape() == t.global_shape) return t.name;
  std::string name = t.name + "@";
  for (int i = 0; i < t.begin.rank(); ++i) name += fmt::format("{}{}", i ? "," : "", t.begin[i]);
  return name;
}

// What this rank writes, as the index will say it, with the names of the shard and its checksums.
struct Shard {
  std::string name;  // empty: this rank writes nothing
  std::vector<NamedTensor> tensors;
  std::vector<const CheckpointTensor*> from;  // the tensor that each came from
  Json boxes = Json::array();
};

Shard plan_shard(std::span<const CheckpointTensor> tensors) {
  Shard shard;
  std::string contained;
  for (const CheckpointTensor& t : tensors) {
    OG_CHECK(t.begin.rank() == t.global_shape.rank() && t.tensor.rank() == t.global_shape.rank(),
             "checkpoint: tensor {}: shape {}, box from {} of {}", t.name, t.global_shape.str(), t.begin.str(),
             t.tensor.shape().str());
    if (!t.this_rank_writes) continue;
    shard.tensors.push_back({name_in_shard(t), t.tensor});
    shard.from.push_back(&t);
    shard.boxes.push(Json::object({{"name", t.name},
                                   {"type", name_of(t.tensor.dtype())},
                                   {"global", to_json(t.global_shape)},
                                   {"begin", to_json(t.begin)},
                                   {"shape", to_json(t.tensor.shape())}}));
    contained += fmt::format("{} {} {}\n", t.name, t.begin.str(), t.tensor.shape().str());
  }
  if (!shard.tensors.empty()) shard.name = "shard-" + checksum(contained).substr(0, 16) + ".safetensors";
  return shard;
}

// Writes a tensor and returns its checksum. A block is hashed, checked and written while it is in the cache.
std::string write_checked(FileWriter& file, const CheckpointTensor& t) {
  constexpr size_t kBlock = size_t{1} << 18;
  const std::span<const std::byte> bytes(t.tensor.raw(), static_cast<size_t>(t.tensor.bytes()));
  RunningChecksum sum;
  for (size_t at = 0; at < bytes.size(); at += kBlock) {
    const auto block = bytes.subspan(at, std::min(kBlock, bytes.size() - at));
    if (const int64_t bad = first_not_finite(t.tensor.dtype(), block); bad >= 0) {
      const int64_t i = static_cast<int64_t>(at) / size_of(t.tensor.dtype()) + bad;
      fail(Status::numbers, "{}: element {} of the box from {} is {}", t.name, i, t.begin.str(),
           printable(t.tensor.at(i)));
    }
    sum.add(block);
    file.write(block);
  }
  return sum.value();
}

// Adds offsets and checksums to the boxes; returns the shard's entry in the index's list of files.
Json write_shard(const std::string& folder, Shard& shard) {
  const std::string header = safetensors_header(shard.tensors, {});
  FileWriter file(folder + "/" + shard.name);
  file.write(header);
  auto offset = static_cast<int64_t>(header.size());
  std::vector<Json> boxes = shard.boxes.items();
  for (size_t i = 0; i < shard.tensors.size(); ++i) {
    boxes[i].set("file", shard.name).set("offset", offset).set("checksum", write_checked(file, *shard.from[i]));
    offset += shard.tensors[i].tensor.bytes();
  }
  file.finish();
  shard.boxes = Json::array(std::move(boxes));
  return Json::object({{"name", shard.name}, {"bytes", offset}, {"header_checksum", checksum(header)}});
}

bool overlap(const Json& a, const Json& b) {
  const auto &begin_a = a["begin"].items(), &begin_b = b["begin"].items();
  const auto &size_a = a["shape"].items(), &size_b = b["shape"].items();
  for (size_t i = 0; i < begin_a.size(); ++i)
    if (begin_a[i].integer() + size_a[i].integer() <= begin_b[i].integer() ||
        begin_b[i].integer() + size_b[i].integer() <= begin_a[i].integer())
      return false;
  return true;
}

int64_t count_of(const Json& shape) {
  int64_t n = 1;
  for (const Json& e : shape.items()) n *= e.integer();
  return n;
}

// The index's list of tensors from the boxes of all ranks, in the order of their first appearance.
Json join_boxes(const std::vector<Json>& boxes_of_ranks) {
  std::vector<std::pair<std::string, std::vector<const Json*>>> tensors;
  std::map<std::string, size_t> places;
  for (const Json& boxes : boxes_of_ranks)
    for (const Json& box : boxes.items()) {
      const auto [at, added] = places.emplace(box["name"].string(), tensors.size());
      if (added) tensors.push_back({box["name"].string(), {}});
      tensors[at->second].second.push_back(&box);
    }
  Json list = Json::array();
  for (const auto& [name, boxes] : tensors) {
    const Json& first = *boxes[0];
    Json out = Json::array();
    int64_t covered = 0;
    for (size_t i = 0; i < boxes.size(); ++i) {
      const Json& box = *boxes[i];
      OG_CHECK(box["global"].dump() == first["global"].dump() && box["type"].string() == first["type"].string(),
               "checkpoint: ranks disagree on the shape or type of tensor {}", name);
      for (size_t j = 0; j < i; ++j)
        OG_CHECK(count_of(box["shape"]) == 0 || !overlap(box, *boxes[j]), "checkpoint: tensor {}: boxes overlap", name);
      covered += count_of(box["shape"]);
      Json entry = Json::object();
      for (const auto& [key, value] : box.members())
        if (key != "name" && key != "type" && key != "global") entry.append(key, value);
      out.push(std::move(entry));
    }
    OG_CHECK(covered == count_of(first["global"]), "checkpoint: tensor {}: {} of {} elements are written", name,
             covered, count_of(first["global"]));
    list.push(
        Json::object({{"name", name}, {"type", first["type"]}, {"shape", first["global"]}, {"boxes", std::move(out)}}));
  }
  return list;
}

// Left behind by a run that was killed while it saved or removed one.
void remove_leftovers(const fs::path& parent) {
  std::error_code error;
  std::vector<fs::path> going;
  for (const auto& item : fs::directory_iterator(parent, error)) {
    const std::string name = item.path().filename().string();
    const bool old = name.ends_with(".old") && fs::exists(parent / name.substr(0, name.size() - 4));
    if (name.starts_with("step-") && (name.ends_with(".part") || old)) going.push_back(item.path());
  }
  for (const fs::path& path : going) fs::remove_all(path, error);
}

void put_in_place(const std::string& temporary, const std::string& folder) {
  std::error_code error;
  if (fs::exists(folder)) {
    if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) == 0) {
      fs::remove_all(temporary, error);
      return;
    }
    fs::remove_all(folder + ".old", error);
    if (::rename(folder.c_str(), (folder + ".old").c_str()) != 0)
      fail(Status::data, "cannot replace {}: {}", folder, std::strerror(errno));
  }
  if (::rename(temporary.c_str(), folder.c_str()) != 0)
    fail(Status::data, "cannot rename {} to {}: {}", temporary, folder, std::strerror(errno));
  fs::remove_all(folder + ".old", error);
}

}  // namespace

void save_checkpoint(const std::string& folder, std::span<const CheckpointTensor> tensors, const Json& metadata,
                     Comm& world) {
  const bool leader = world.rank() == 0;
  const std::string temporary = folder + ".part";
  const std::string parent = fs::path(folder).parent_path().string();
  Shard shard;
  Json file;
  std::vector<std::string> plans;
  together(world, kSite, [&] { shard = plan_shard(tensors); });
  plans = world.gather_text(shard.boxes.dump(), kSite);
  try {
    together(world, kSite, [&] {
      if (!leader) return;
      std::vector<Json> boxes;
      for (const std::string& plan : plans) boxes.push_back(Json::parse(plan, "plan"));
      join_boxes(boxes);  // checks that they cover every tensor once
      make_folders(parent.empty() ? "." : parent);
      remove_leftovers(parent.empty() ? "." : parent);
      make_folders(temporary);
    });
    together(world, kSite, [&] {
      if (!shard.name.empty()) file = write_shard(temporary, shard);
    });
    const std::vector<std::string> written =
        world.gather_text(Json::object({{"boxes", shard.boxes}, {"file", file}}).dump(), kSite);
    together(world, kSite, [&] {
      if (!leader) return;
      std::vector<Json> boxes;
      Json files = Json::array();
      for (const std::string& text : written) {
        const Json one = Json::parse(text, "shard");
        boxes.push_back(one["boxes"]);
        if (!one["file"].is_null()) files.push(one["file"]);
      }
      Json content =
          Json::object({{"metadata", metadata}, {"files", std::move(files)}, {"tensors", join_boxes(boxes)}});
      const std::string sum = checksum(content.dump());
      const Json index = Json::object(
          {{"format", "onegather checkpoint"}, {"version", 1}, {"checksum", sum}, {"content", std::move(content)}});
      FileWriter out(temporary + "/index.json");
      out.write(index.dump(1) + "\n");
      out.finish();
      sync_folder(temporary);
      put_in_place(temporary, folder);
      sync_folder(parent.empty() ? "." : parent);
    });
  } catch (const Error& e) {
    std::error_code ignored;
    if (leader && e.status() != Status::rank) fs::remove_all(temporary, ignored);
    throw;
  }
}

}  // namespace og

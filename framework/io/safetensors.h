// Safetensors files: named tensors behind a JSON header (8 bytes of header length, header, data). Reading maps the file
// and checks all of the header before anything else: a truncated, damaged or foreign file is Error(Status::data) that
// names the file and what is wrong. Any thread may read; the writer's file appears complete or not at all.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "framework/core/tensor.h"
#include "framework/io/file.h"

namespace og {

struct SafetensorsEntry {
  std::string name;
  std::string type;               // as written: "F32", "BF16", ...
  Shape shape;                    // at most Shape::kMaxRank dims
  int64_t offset = 0, bytes = 0;  // in the file
};

using TextPairs = std::vector<std::pair<std::string, std::string>>;

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  // in the order of their data
  const SafetensorsEntry* find(const std::string& name) const;               // null: absent
  const TextPairs& metadata() const { return metadata_; }
  std::span<const std::byte> header() const { return file_.bytes().first(static_cast<size_t>(data_begin_)); }
  std::span<const std::byte> bytes(const SafetensorsEntry& entry) const {
    return file_.bytes().subspan(static_cast<size_t>(entry.offset), static_cast<size_t>(entry.bytes));
  }
  // F32, F64, I32 and I64 as they are, BF16 and F16 as f32; other types are refused by name.
  Tensor read(Pool& pool, const SafetensorsEntry& entry) const;

 private:
  MappedFile file_;
  int64_t data_begin_ = 0;
  std::vector<SafetensorsEntry> entries_;
  TextPairs metadata_;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// Length and header, padded so that the data begins at a multiple of 64 bytes. Data follows in the order given.
std::string safetensors_header(const std::vector<NamedTensor>& tensors, const TextPairs& metadata);

// Written to `path`.part, synced, renamed.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const TextPairs& metadata = {});

}  // namespace og

#include "framework/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

#include "framework/io/json.h"

namespace og {

namespace {

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeader = 100'000'000;  // the format's own limit
constexpr int64_t kAlignment = 64;

// Bytes of an element; 0: not a type of the format.
int64_t element_bytes(const std::string& type) {
  constexpr std::pair<const char*, int64_t> kTypes[] = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},  {"I32", 4},     {"I16", 2},     {"I8", 1},
      {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
  };
  for (const auto& [name, bytes] : kTypes)
    if (type == name) return bytes;
  return 0;
}

float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

float from_f16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 31;
  const uint32_t fraction = bits & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float subnormal = static_cast<float>(fraction) * 0x1p-24f;
  return sign ? -subnormal : subnormal;
}

// Reads one member of the header; `where` begins every message.
SafetensorsEntry parse_entry(const std::string& where, const std::string& name, const Json& json, int64_t data_bytes) {
  SafetensorsEntry entry;
  entry.name = name;
  entry.type = json["dtype"].string();
  const int64_t element = element_bytes(entry.type);
  if (element == 0) fail(Status::data, "{}: tensor {} has the unknown type {}", where, name, entry.type);
  const std::vector<Json>& extents = json["shape"].items();
  if (extents.size() > static_cast<size_t>(Shape::kMaxRank))
    fail(Status::data, "{}: tensor {} has {} dims, at most {} are supported", where, name, extents.size(),
         Shape::kMaxRank);
  int64_t bytes = element;
  for (const Json& extent : extents) {
    const int64_t e = extent.integer();
    if (e < 0 || __builtin_mul_overflow(bytes, e, &bytes))
      fail(Status::data, "{}: tensor {} has an impossible shape", where, name);
    entry.shape.push_back(e);
  }
  const std::vector<Json>& offsets = json["data_offsets"].items();
  if (offsets.size() != 2) fail(Status::data, "{}: tensor {} has {} data_offsets", where, name, offsets.size());
  const int64_t begin = offsets[0].integer(), end = offsets[1].integer();
  if (begin < 0 || end < begin || end > data_bytes)
    fail(Status::data, "{}: tensor {} lies at bytes {} to {} of {} bytes of data: the file is truncated or damaged",
         where, name, begin, end, data_bytes);
  if (end - begin != bytes)
    fail(Status::data, "{}: tensor {} {} of {} needs {} bytes, its place has {}", where, name, entry.type,
         entry.shape.str(), bytes, end - begin);
  entry.offset = begin;
  entry.bytes = bytes;
  return entry;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  const std::span<const std::byte> all = file_.bytes();
  if (file_.size() < kLengthBytes)
    fail(Status::data, "{}: not a safetensors file: {} bytes, a header alone has more", path, all.size());
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<uint64_t>(all[i]) << (8 * i);
  if (length > kMaxHeader) fail(Status::data, "{}: not a safetensors file: header of {} bytes", path, length);
  data_begin_ = kLengthBytes + static_cast<int64_t>(length);
  if (data_begin_ > file_.size())
    fail(Status::data, "{}: truncated or not a safetensors file: header of {} bytes in a file of {}", path, length,
         all.size());
  const std::string_view text(reinterpret_cast<const char*>(all.data()) + kLengthBytes, length);
  const Json header = Json::parse(text, path + ": header");
  if (header.kind() != Json::Kind::object) fail(Status::data, "{}: the header is not an object", path);
  try {
    for (const auto& [name, json] : header.members()) {
      if (name != "__metadata__") {
        entries_.push_back(parse_entry(path, name, json, file_.size() - data_begin_));
        continue;
      }
      for (const auto& [key, value] : json.members()) metadata_.emplace_back(key, value.string());
    }
  } catch (const Error& e) {
    const std::string what = e.what();
    fail(Status::data, "{}", what.starts_with(path) ? what : path + ": header: " + what);
  }
  std::stable_sort(entries_.begin(), entries_.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::pair(a.offset, a.offset + a.bytes) < std::pair(b.offset, b.offset + b.bytes);
  });
  int64_t at = 0;
  for (SafetensorsEntry& entry : entries_) {
    if (entry.offset != at)
      fail(Status::data, "{}: tensor {} begins at byte {} of the data, expected {}: {}", path, entry.name, entry.offset,
           at, entry.offset < at ? "tensors overlap" : "there is a hole");
    at += entry.bytes;
    entry.offset += data_begin_;
  }
  if (data_begin_ + at != file_.size())
    fail(Status::data, "{}: {} bytes follow the last tensor", path, file_.size() - data_begin_ - at);
}

const SafetensorsEntry* SafetensorsFile::find(const std::string& name) const {
  for (const SafetensorsEntry& entry : entries_)
    if (entry.name == name) return &entry;
  return nullptr;
}

Tensor SafetensorsFile::read(Pool& pool, const SafetensorsEntry& entry) const {
  const std::span<const std::byte> from = bytes(entry);
  for (DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64}) {
    if (entry.type != name_of(dtype)) continue;
    const Tensor t = Tensor::empty(pool, entry.shape, dtype);
    if (!from.empty()) std::memcpy(t.raw(), from.data(), from.size());
    return t;
  }
  if (entry.type != "BF16" && entry.type != "F16")
    fail(Status::data, "{}: tensor {} is of type {}; F32, F64, BF16, F16, I32 and I64 are read", path(), entry.name,
         entry.type);
  const Tensor t = Tensor::empty(pool, entry.shape, DType::f32);
  const bool bf16 = entry.type == "BF16";
  for (int64_t i = 0; i < t.count(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, from.data() + 2 * i, 2);
    t.data<float>()[i] = bf16 ? from_bf16(bits) : from_f16(bits);
  }
  return t;
}

std::string safetensors_header(const std::vector<NamedTensor>& tensors, const TextPairs& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) {
    Json pairs = Json::object();
    for (const auto& [key, value] : metadata) pairs.set(key, value);
    header.set("__metadata__", std::move(pairs));
  }
  int64_t at = 0;
  for (const NamedTensor& t : tensors) {
    OG_CHECK(!header.find(t.name), "safetensors: two tensors named {}", t.name);
    Json extents = Json::array();
    for (int i = 0; i < t.tensor.rank(); ++i) extents.push(t.tensor.size(i));
    const int64_t end = at + t.tensor.bytes();
    header.append(t.name, Json::object({{"dtype", name_of(t.tensor.dtype())},
                                        {"shape", std::move(extents)},
                                        {"data_offsets", Json::array({at, end})}}));
    at = end;
  }
  std::string text = header.dump();
  const auto length = static_cast<int64_t>(text.size()) + kLengthBytes;
  text.append(static_cast<size_t>((kAlignment - length % kAlignment) % kAlignment), ' ');
  std::string out;
  for (int i = 0; i < kLengthBytes; ++i) out += static_cast<char>(static_cast<uint64_t>(text.size()) >> (8 * i) & 255);
  return out + text;
}

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors, const TextPairs& metadata) {
  const std::string temporary = path + ".part";
  FileWriter file(temporary);
  file.write(safetensors_header(tensors, metadata));
  for (const NamedTensor& t : tensors)
    file.write(std::span<const std::byte>(t.tensor.raw(), static_cast<size_t>(t.tensor.bytes())));
  file.finish();
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    std::remove(temporary.c_str());
    fail(Status::data, "cannot write {}: {}", path, reason);
  }
}

}  // namespace og

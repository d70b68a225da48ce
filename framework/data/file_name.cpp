#include "framework/data/file_name.h"

#include <algorithm>

namespace og {

namespace {

char small(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool name_ends_with(std::string_view path, std::string_view end) {
  return path.size() >= end.size() && std::equal(end.rbegin(), end.rend(), path.rbegin(),
                                                 [](char expected, char found) { return expected == small(found); });
}

std::string_view packing_of(std::string_view path) {
  for (const char* end : {".gz", ".gzip"})
    if (name_ends_with(path, end)) return "gzip";
  for (const char* end : {".zst", ".zstd"})
    if (name_ends_with(path, end)) return "zstd";
  return {};
}

std::string_view without_packing(std::string_view path) {
  return packing_of(path).empty() ? path : path.substr(0, path.rfind('.'));
}

NameSays name_says(std::string_view path) {
  const std::string_view name = without_packing(path);
  for (const char* end : {".jsonl", ".ndjson", ".ldjson", ".jsonlines", ".jl"})
    if (name_ends_with(name, end)) return NameSays::lines;
  return name_ends_with(name, ".json") ? NameSays::json : NameSays::nothing;
}

}  // namespace og

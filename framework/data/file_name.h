// What the name of a data file says of its content, without regard to case: A.JSONL.GZ is a.jsonl.gz.
#pragma once

#include <cstdint>
#include <string_view>

namespace og {

bool name_ends_with(std::string_view path, std::string_view end);  // end: in small letters

// "gzip" or "zstd" by the last ending, else "".
std::string_view packing_of(std::string_view path);
// The path without the ending of its packing.
std::string_view without_packing(std::string_view path);

// json: .json, which is JSON in some form. lines: one of the endings under which lines of JSON are known.
enum class NameSays : uint8_t { nothing, json, lines };
NameSays name_says(std::string_view path);

}  // namespace og

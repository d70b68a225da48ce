// Lists of sizes on a command line: "1K..64M" (each `factor` times the one before it, the last one included) or
// "1K,3000,2M"; K, M and G are 1024, 1024^2 and 1024^3.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace og {

// Error(Status::usage) naming the option. Every value is at least `least`.
std::vector<int64_t> parse_sizes(const std::string& option, const std::string& text, int64_t factor, int64_t least = 1);

// "a,b" -> {"a", "b"}; an empty part is Error(Status::usage).
std::vector<std::string> parse_names(const std::string& option, const std::string& text);

// 2048 -> "2K", 2097152 -> "2048K" (lengths stay in K), 3000 -> "3000".
std::string size_text(int64_t n);

}  // namespace og

// The memory that this process may take at most. Thread safe.
#pragma once

#include <cstdint>
#include <string>

namespace og {

// The machine's, or the least that a control group above this process allows (memory.max; memory.limit_in_bytes in
// version 1). root: where /proc and /sys are, for tests.
int64_t total_memory_bytes(const std::string& root = "");

}  // namespace og

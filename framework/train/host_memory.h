// The memory that this process may take. Thread safe. root: where /proc and /sys are, for tests.
#pragma once

#include <cstdint>
#include <string>

namespace og {

// The machine's, or the least that a control group above this process allows (memory.max; memory.limit_in_bytes in
// version 1).
int64_t total_memory_bytes(const std::string& root = "");
// What of it is left: what the system calls available, or the least that such a group leaves.
int64_t free_memory_bytes(const std::string& root = "");

}  // namespace og

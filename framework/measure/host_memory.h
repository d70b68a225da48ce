// The memory that this process may take. Thread safe. root: where /proc and /sys are, for tests.
#pragma once

#include <cstdint>
#include <string>

namespace og {

// The machine's, or the least that a control group above this process allows (memory.max; memory.limit_in_bytes in
// version 1).
int64_t total_memory_bytes(const std::string& root = "");
// The free part of it: what the system calls available, or less where such a group leaves less.
int64_t free_memory_bytes(const std::string& root = "");

// What the system can give, page cache that it would drop included, whatever control groups say.
int64_t available_memory_bytes(const std::string& root = "");
// Free swap space.
int64_t free_swap_bytes(const std::string& root = "");
// What the limit of the address space (ulimit -v) leaves this process; no limit: the largest number.
int64_t free_address_bytes();

}  // namespace og

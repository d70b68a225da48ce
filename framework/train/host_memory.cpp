#include "framework/train/host_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

namespace og {

namespace {

// The least of this file in the group `path` and in all above it; "max" is no number: no bound.
int64_t least_above(const std::string& folder, std::string path, const char* file) {
  int64_t least = std::numeric_limits<int64_t>::max();
  while (true) {
    int64_t bytes = 0;
    if (std::ifstream in(folder + path + "/" + file); in >> bytes) least = std::min(least, bytes);
    if (path.empty() || path == "/") return least;
    path.erase(path.rfind('/'));
  }
}

}  // namespace

int64_t total_memory_bytes(const std::string& root) {
  int64_t least = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  const std::string folder = root + "/sys/fs/cgroup";
  std::string line;
  // "0::/a/b" in version 2, "7:memory:/a/b" in version 1.
  for (std::ifstream groups(root + "/proc/self/cgroup"); std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",",
                      path = line.substr(second + 1);
    if (controllers == ",,") least = std::min(least, least_above(folder, path, "memory.max"));
    if (controllers.find(",memory,") != std::string::npos)
      least = std::min(least, least_above(folder + "/memory", path, "memory.limit_in_bytes"));
  }
  return least;
}

}  // namespace og

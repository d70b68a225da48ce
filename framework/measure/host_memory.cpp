#include "framework/measure/host_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

namespace og {

namespace {

// Calls f(bytes allowed, file that says the bytes used) for the control group `path` and every group above it that has
// a limit. A limit of "max" is no number, and none.
template <class F>
void for_each_above(const std::string& folder, std::string path, const char* limit, const char* used, F&& f) {
  while (true) {
    int64_t bytes = 0;
    if (std::ifstream in(folder + path + "/" + limit); in >> bytes) f(bytes, folder + path + "/" + used);
    if (path.empty() || path == "/") return;
    path.erase(path.rfind('/'));
  }
}

// Calls f for the groups of this process in every hierarchy that it is in.
template <class F>
void for_each_bound(const std::string& root, F&& f) {
  const std::string folder = root + "/sys/fs/cgroup";
  std::string line;
  // "0::/a/b" in version 2, "7:memory:/a/b" in version 1.
  for (std::ifstream groups(root + "/proc/self/cgroup"); std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",",
                      path = line.substr(second + 1);
    if (controllers == ",,") for_each_above(folder, path, "memory.max", "memory.current", f);
    if (controllers.find(",memory,") != std::string::npos)
      for_each_above(folder + "/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", f);
  }
}

// The bytes on the line `name` of /proc/meminfo; `otherwise` where there is none.
int64_t meminfo_bytes(const std::string& root, const std::string& name, int64_t otherwise) {
  std::string word;
  int64_t kilobytes = 0;
  for (std::ifstream info(root + "/proc/meminfo"); info >> word;)
    if (word == name && info >> kilobytes) return kilobytes * 1024;
  return otherwise;
}

}  // namespace

int64_t total_memory_bytes(const std::string& root) {
  int64_t least = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  for_each_bound(root, [&](int64_t allowed, const std::string&) { least = std::min(least, allowed); });
  return least;
}

int64_t free_memory_bytes(const std::string& root) {
  int64_t free = available_memory_bytes(root);
  for_each_bound(root, [&](int64_t allowed, const std::string& file) {
    int64_t used = 0;
    if (std::ifstream in(file); in >> used) free = std::min(free, std::max<int64_t>(0, allowed - used));
  });
  return free;
}

int64_t available_memory_bytes(const std::string& root) {
  return meminfo_bytes(root, "MemAvailable:", std::numeric_limits<int64_t>::max());
}

int64_t free_swap_bytes(const std::string& root) { return meminfo_bytes(root, "SwapFree:", 0); }

int64_t free_address_bytes() {
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kNone;
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const auto allowed = static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, static_cast<rlim_t>(kNone)));
  return std::max<int64_t>(0, allowed - pages * sysconf(_SC_PAGE_SIZE));
}

}  // namespace og

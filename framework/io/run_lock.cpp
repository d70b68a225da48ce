#include "framework/io/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "framework/core/error.h"
#include "framework/io/file.h"

namespace og {

namespace {

std::string holder_of(int descriptor) {
  char text[512] = {};
  const ssize_t n = ::pread(descriptor, text, sizeof text - 1, 0);
  std::string holder(text, n > 0 ? static_cast<size_t>(n) : 0);
  while (!holder.empty() && holder.back() == '\n') holder.pop_back();
  return holder.empty() ? "a process that did not say who it is" : holder;
}

}  // namespace

RunLock::RunLock(const std::string& run_folder, double wait_seconds) {
  make_folders(run_folder);
  const std::string path = run_folder + "/run.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) fail(Status::data, "cannot write {}: {}", path, std::strerror(errno));
  const auto start = std::chrono::steady_clock::now();
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    if (error != EWOULDBLOCK && error != EINTR) {
      ::close(fd);
      fail(Status::data, "cannot lock {}: {}", path, std::strerror(error));
    }
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() >= wait_seconds) {
      const std::string holder = holder_of(fd);
      ::close(fd);
      fail(Status::data, "{}: another run writes here: {}; wait for it or choose another run.dir", run_folder, holder);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  const std::string holder = fmt::format("host {}, process {}\n", host, ::getpid());
  const bool told =
      ::ftruncate(fd, 0) == 0 && ::pwrite(fd, holder.data(), holder.size(), 0) == static_cast<ssize_t>(holder.size());
  if (!told) {
    const int error = errno;
    ::close(fd);
    fail(Status::data, "cannot write {}: {}", path, std::strerror(error));
  }
  descriptor_ = fd;
}

RunLock::~RunLock() {
  // Nobody holds it from here on; a failure to say so changes nothing.
  [[maybe_unused]] const int ignored = ::ftruncate(descriptor_, 0);
  ::close(descriptor_);
}

}  // namespace og

#include "framework/io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "framework/core/error.h"

namespace og {

namespace {

[[noreturn]] void refuse(const char* what, const std::string& path, int number) {
  fail(Status::data, "cannot {} {}: {}", what, path, std::strerror(number));
}

std::string folder_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) refuse("open", path, errno);
  struct stat info {};
  int error = ::fstat(fd, &info) != 0 ? errno : S_ISDIR(info.st_mode) ? EISDIR : 0;
  if (error == 0 && info.st_size > 0) {
    void* at = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
      error = errno;
    } else {
      data_ = static_cast<const std::byte*>(at);
      size_ = static_cast<size_t>(info.st_size);
    }
  }
  ::close(fd);
  if (error != 0) refuse("read", path, error);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::swap(MappedFile& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
}

FileWriter::FileWriter(std::string path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) refuse("write", path_, errno);
}

FileWriter::~FileWriter() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(path_.c_str());
}

void FileWriter::write(std::span<const std::byte> bytes) {
  constexpr size_t kMostAtOnce = size_t{1} << 30;  // the kernel takes a little less than 2 GiB
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kMostAtOnce));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse("write", path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void FileWriter::overwrite(int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse("write", path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += n;
  }
}

void FileWriter::finish() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL) refuse("sync", path_, errno);  // EINVAL: a pipe or device
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed != 0) refuse("close", path_, errno);
}

std::string read_text(const std::string& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

void replace_text(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".part";
  FileWriter file(temporary);
  file.write(text);
  file.finish();
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    refuse("write", path, error);
  }
  sync_folder(folder_of(path));
}

std::optional<Problem> why_unwritable(const std::string& path) {
  const bool there = std::filesystem::exists(path);
  const int descriptor = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return Problem{std::strerror(errno)};
  close(descriptor);
  if (!there) std::filesystem::remove(path);
  return std::nullopt;
}

void sync_folder(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) refuse("open", path, errno);
  const int error = ::fsync(fd) != 0 ? errno : 0;
  ::close(fd);
  if (error != 0 && error != EINVAL) refuse("sync", path, error);  // EINVAL: a file system without folder sync
}

void make_folders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) refuse("make the folder", path, error.value());
}

}  // namespace og

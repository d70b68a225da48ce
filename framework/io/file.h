// Files whose every error is reported: mapped for reading, written and synced. All throw Error(Status::data) naming the
// path and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "framework/core/problem.h"

namespace og {

// A whole file mapped read-only. Movable; the bytes live as long as the object. Any thread may read.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    swap(other);
    return *this;
  }
  ~MappedFile();

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  int64_t size() const { return static_cast<int64_t>(size_); }

 private:
  void swap(MappedFile& other) noexcept;
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Writes a file from its beginning, replacing what is there. finish() syncs it to the disk and closes it; destroyed
// before that, it removes the file.
class FileWriter {
 public:
  explicit FileWriter(std::string path);
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // Replaces bytes that were written before; the next write() still goes to the end.
  void overwrite(int64_t offset, std::span<const std::byte> bytes);
  void finish();

 private:
  std::string path_;
  int descriptor_ = -1;
};

std::string read_text(const std::string& path);
// The file holds the old text or the new one at every instant: a temporary file, synced, renamed.
void replace_text(const std::string& path, std::string_view text);
// Why a file cannot be written there. What is there stays as it is, and nothing is left behind.
std::optional<Problem> why_unwritable(const std::string& path);
// Makes renames and new files in a folder survive a power failure.
void sync_folder(const std::string& path);
void make_folders(const std::string& path);

}  // namespace og

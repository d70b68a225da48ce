// ByteStream: the bytes of a file as they were before compression: plain, gzip or zstd, told apart by their first
// bytes. Damage, bytes after the end and what cannot be read: Error(Status::data) naming the path and how far the data
// was good. Owned and used by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace og {

// The file as it lies on disk, with a look ahead. Pipes too: it is read once, in order.
class FileInput {
 public:
  explicit FileInput(std::string path);
  FileInput(FileInput&& other) noexcept;
  FileInput& operator=(FileInput&&) = delete;
  ~FileInput();

  const std::string& path() const { return path_; }
  // Whether there are `count` bytes more (at most 64 Ki), which ahead() then holds.
  bool has(size_t count);
  std::string_view ahead() const { return {buffer_.data() + begin_, end_ - begin_}; }
  void take(size_t count);
  int64_t offset() const { return offset_; }  // in the file, of ahead()

 private:
  std::string path_;
  int descriptor_ = -1;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;
  int64_t offset_ = 0;
};

class ByteStream {
 public:
  static std::unique_ptr<ByteStream> open(const std::string& path);
  virtual ~ByteStream() = default;
  // Fills some of `to`; 0 at the end.
  virtual size_t read(std::span<char> to) = 0;
  // How far the file was read, in bytes as it lies on disk.
  int64_t position() const { return input_.offset(); }

 protected:
  // parts: how the compressed format calls what it repeats ("gzip member"); each has its own checksum.
  ByteStream(FileInput input, const char* parts) : input_(std::move(input)), parts_(parts) {}
  void decoded(std::span<const char> bytes);
  void part_ended();
  [[noreturn]] void damaged(const std::string& what) const;

  FileInput input_;

 private:
  struct Reached {
    int64_t bytes = 0, lines = 0;
  };
  const char* parts_;
  Reached decoded_, whole_;  // whole_: at the end of the last part
  int64_t num_parts_ = 0;
};

// By what the file begins with. Each takes an input that begins so.
bool begins_as_gzip(std::string_view bytes);
bool begins_as_zstd(std::string_view bytes);
std::unique_ptr<ByteStream> gzip_stream(FileInput input);
std::unique_ptr<ByteStream> zstd_stream(FileInput input);

}  // namespace og

// TextReader: a text file as a stream of bytes or lines, plain, gzip or zstd (byte_stream.h). A byte order mark of
// UTF-8 at its beginning is left out; UTF-16 is refused. Owned and used by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "framework/data/byte_stream.h"

namespace og {

class TextReader {
 public:
  explicit TextReader(const std::string& path);

  const std::string& path() const { return path_; }
  // Appends up to some hundred KiB, or what was peeked at; false at the end.
  bool read_some(std::string& out);
  std::string read_all();
  // The next line without its newline; false at the end.
  bool read_line(std::string& line);
  // What comes next, not taken: `count` bytes or more, less only where the text ends. Valid until the next call.
  std::string_view peek(size_t count);
  // How far the file was read, in bytes as it lies on disk.
  int64_t position() const { return bytes_->position(); }

 private:
  bool read_more();  // into rest_
  std::string path_;
  std::unique_ptr<ByteStream> bytes_;
  bool begun_ = false;
  std::string rest_;  // read and not given out, from begin_ on
  size_t begin_ = 0;
};

// Files that a pattern names, sorted: globs are expanded, other paths given back as they are. A glob that matches
// nothing is Error(Status::data).
std::vector<std::string> expand_paths(const std::string& pattern);

}  // namespace og

// TextReader: a text file as a stream of bytes, plain, gzip (.gz) or zstd (.zst), told apart by their first bytes.
// Damaged or unreadable files: Error(Status::data) naming the path. Owned and used by one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace og {

class TextReader {
 public:
  explicit TextReader(const std::string& path);
  ~TextReader();
  TextReader(const TextReader&) = delete;
  TextReader& operator=(const TextReader&) = delete;

  // Appends up to some hundred KiB; false at the end.
  bool read_some(std::string& out);
  std::string read_all();
  // The next line without its newline; false at the end.
  bool read_line(std::string& line);

 private:
  struct Source;
  std::string path_;
  std::unique_ptr<Source> source_;
  std::string rest_;
  size_t begin_ = 0;
};

// Files that a pattern names, sorted: globs are expanded, other paths given back as they are. A glob that matches
// nothing is Error(Status::data).
std::vector<std::string> expand_paths(const std::string& pattern);

// "a.jsonl", also with .gz or .zst after it.
bool is_jsonl(const std::string& path);

}  // namespace og

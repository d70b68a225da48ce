#include "framework/data/text_reader.h"

#include <glob.h>

#include <filesystem>

#include "framework/core/error.h"

namespace og {

namespace {
constexpr size_t kChunk = size_t{1} << 18;
}

TextReader::TextReader(const std::string& path) : path_(path), bytes_(ByteStream::open(path)) {}

bool TextReader::read_more() {
  rest_.erase(0, begin_);
  begin_ = 0;
  const size_t before = rest_.size();
  size_t got = 0;
  do {
    const size_t end = rest_.size();
    rest_.resize(end + kChunk);
    got = bytes_->read(std::span(rest_).subspan(end));
    rest_.resize(end + got);
  } while (!begun_ && got > 0 && rest_.size() < 3);
  if (!begun_) {
    begun_ = true;
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.erase(0, 3);
    if (rest_.starts_with("\xFF\xFE") || rest_.starts_with("\xFE\xFF"))
      fail(Status::data, "{}: UTF-16, by its byte order mark; convert it: iconv -f UTF-16 -t UTF-8 {}", path_, path_);
  }
  return rest_.size() > before;
}

bool TextReader::read_some(std::string& out) {
  if (begin_ == rest_.size() && !read_more()) return false;
  if (out.empty() && begin_ == 0)
    out.swap(rest_);
  else
    out.append(rest_, begin_);
  rest_.clear();
  begin_ = 0;
  return true;
}

std::string TextReader::read_all() {
  std::string text;
  while (read_some(text)) {
  }
  return text;
}

bool TextReader::read_line(std::string& line) {
  size_t searched = begin_;
  for (;;) {
    const size_t end = rest_.find('\n', searched);
    if (end != std::string::npos) {
      line.assign(rest_, begin_, end - begin_);
      begin_ = end + 1;
      return true;
    }
    searched = rest_.size() - begin_;
    if (!read_more()) {
      line.swap(rest_);
      rest_.clear();
      return !line.empty();
    }
  }
}

std::string_view TextReader::peek(size_t count) {
  while (rest_.size() - begin_ < count && read_more()) {
  }
  return std::string_view(rest_).substr(begin_);
}

std::vector<std::string> expand_paths(const std::string& pattern) {
  // A file may be called a[1].txt.
  std::error_code error;
  if (pattern.find_first_of("*?[") == std::string::npos || std::filesystem::exists(pattern, error)) return {pattern};
  glob_t found{};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  if (paths.empty()) fail(Status::data, "{}: no file matches", pattern);
  return paths;
}

}  // namespace og

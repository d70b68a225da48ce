#include "framework/data/text_reader.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "framework/core/error.h"

namespace og {

namespace {
constexpr size_t kChunk = size_t{1} << 18;
}

struct TextReader::Source {
  gzFile gzip = nullptr;  // also reads plain files
  int descriptor = -1;    // of a zstd file
  ZSTD_DStream* zstd = nullptr;
  std::vector<char> compressed;
  ZSTD_inBuffer in{nullptr, 0, 0};
  size_t pending = 0;  // what ZSTD_decompressStream said last: 0 at the end of a frame

  ~Source() {
    if (gzip) gzclose(gzip);
    if (zstd) ZSTD_freeDStream(zstd);
    if (descriptor >= 0) ::close(descriptor);
  }
};

TextReader::TextReader(const std::string& path) : path_(path), source_(std::make_unique<Source>()) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) fail(Status::data, "{}: {}", path, std::strerror(errno));
  if (S_ISDIR(status.st_mode))
    fail(Status::data, "{}: is a folder; name its files, for instance '{}/*.txt'", path, path);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(Status::data, "{}: {}", path, std::strerror(errno));
  unsigned char magic[4] = {};
  const ssize_t got = ::pread(descriptor, magic, sizeof magic, 0);
  constexpr unsigned char kZstd[4] = {0x28, 0xB5, 0x2F, 0xFD};
  if (got == 4 && std::memcmp(magic, kZstd, 4) == 0) {
    source_->descriptor = descriptor;
    source_->zstd = ZSTD_createDStream();
    source_->compressed.resize(kChunk);
    return;
  }
  // A plain file that calls itself compressed is damaged, not text.
  const bool gzip = got >= 2 && magic[0] == 0x1F && magic[1] == 0x8B;
  if (got > 0 && (path.ends_with(".zst") || (path.ends_with(".gz") && !gzip))) {
    ::close(descriptor);
    fail(Status::data, "{}: damaged: it does not begin as {} data does", path, path.ends_with(".gz") ? "gzip" : "zstd");
  }
  source_->gzip = gzdopen(descriptor, "rb");
  if (!source_->gzip) {
    ::close(descriptor);
    fail(Status::data, "{}: cannot be opened", path);
  }
  gzbuffer(source_->gzip, static_cast<unsigned>(kChunk));
}

TextReader::~TextReader() = default;

bool TextReader::read_some(std::string& out) {
  const size_t before = out.size();
  out.resize(before + kChunk);
  size_t got = 0;
  if (source_->gzip) {
    const int n = gzread(source_->gzip, out.data() + before, static_cast<unsigned>(kChunk));
    int code = Z_OK;
    const char* message = gzerror(source_->gzip, &code);
    if (n < 0 || (code != Z_OK && code != Z_STREAM_END))
      fail(Status::data, "{}: damaged or truncated gzip data ({})", path_, message);
    got = static_cast<size_t>(n);
  } else {
    Source& s = *source_;
    ZSTD_outBuffer to{out.data() + before, kChunk, 0};
    while (to.pos == 0) {
      if (s.in.pos == s.in.size) {
        const ssize_t n = ::read(s.descriptor, s.compressed.data(), s.compressed.size());
        if (n < 0) fail(Status::data, "{}: {}", path_, std::strerror(errno));
        if (n == 0) {
          if (s.pending != 0) fail(Status::data, "{}: truncated zstd data", path_);
          break;
        }
        s.in = {s.compressed.data(), static_cast<size_t>(n), 0};
      }
      s.pending = ZSTD_decompressStream(s.zstd, &to, &s.in);
      if (ZSTD_isError(s.pending))
        fail(Status::data, "{}: damaged zstd data ({})", path_, ZSTD_getErrorName(s.pending));
    }
    got = to.pos;
  }
  out.resize(before + got);
  return got > 0;
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
    rest_.erase(0, begin_);
    begin_ = 0;
    searched = rest_.size();
    if (!read_some(rest_)) {
      line.swap(rest_);
      rest_.clear();
      return !line.empty();
    }
  }
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

bool is_jsonl(const std::string& path) {
  std::string name = path;
  for (const char* end : {".gz", ".zst"})
    if (name.ends_with(end)) name.resize(name.size() - std::strlen(end));
  return name.ends_with(".jsonl");
}

}  // namespace og

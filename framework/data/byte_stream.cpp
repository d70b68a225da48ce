#include "framework/data/byte_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "framework/core/error.h"
#include "framework/core/number.h"
#include "framework/data/file_name.h"

namespace og {

namespace {

constexpr size_t kChunk = size_t{1} << 18;

// What else files of text are packed in. Only NUL bytes would tell it from text later, and small ones have none.
struct Packing {
  std::string_view begins, name, unpack;
};
using namespace std::string_view_literals;
constexpr Packing kNotRead[] = {{"BZh"sv, "bzip2", "bunzip2 -k"},
                                {"\xFD"
                                 "7zXZ\0"sv,
                                 "xz", "unxz -k"},
                                {"PK\x03\x04"sv, "zip", "unzip"},
                                {"7z\xBC\xAF\x27\x1C"sv, "7-Zip", "7z x"},
                                {"\x04\x22\x4D\x18"sv, "lz4", "unlz4"}};
// The first block of bzip2 data follows its three letters and a digit.
constexpr std::string_view kBzip2Block = "1AY&SY";

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(FileInput input) : ByteStream(std::move(input), "") {}
  size_t read(std::span<char> to) override {
    if (!input_.has(1)) return 0;
    const size_t count = std::min(to.size(), input_.ahead().size());
    std::memcpy(to.data(), input_.ahead().data(), count);
    input_.take(count);
    return count;
  }
};

}  // namespace

FileInput::FileInput(std::string path) : path_(std::move(path)), buffer_(kChunk) {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) fail(Status::data, "{}: {}", path_, std::strerror(errno));
  if (S_ISDIR(status.st_mode))
    fail(Status::data, "{}: is a folder; name its files, for instance '{}/*.txt'", path_, path_);
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail(Status::data, "{}: {}", path_, std::strerror(errno));
}

FileInput::FileInput(FileInput&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      end_(other.end_),
      offset_(other.offset_) {}

FileInput::~FileInput() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool FileInput::has(size_t count) {
  if (end_ - begin_ >= count) return true;
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  while (end_ < count) {
    const ssize_t got = ::read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(Status::data, "{}: {}", path_, std::strerror(errno));
    if (got == 0) return false;
    end_ += static_cast<size_t>(got);
  }
  return true;
}

void FileInput::take(size_t count) {
  begin_ += count;
  offset_ += static_cast<int64_t>(count);
}

void ByteStream::decoded(std::span<const char> bytes) {
  decoded_.bytes += std::ssize(bytes);
  decoded_.lines += std::count(bytes.begin(), bytes.end(), '\n');
}

void ByteStream::part_ended() {
  whole_ = decoded_;
  num_parts_ += 1;
}

void ByteStream::damaged(const std::string& what) const {
  const std::string good = num_parts_ > 0
                               ? fmt::format("Good up to there: {} of {} of text, {}", counted(num_parts_, parts_),
                                             counted(whole_.bytes, "byte"), counted(whole_.lines, "line"))
                               : fmt::format("It reads up to byte {} of the text, {}, which no checksum confirms",
                                             decoded_.bytes, counted(decoded_.lines, "line"));
  fail(Status::data, "{}: {} (at byte {} of the file). {}. Get the file again, or keep the good lines as a new file",
       input_.path(), what, input_.offset(), good);
}

std::unique_ptr<ByteStream> ByteStream::open(const std::string& path) {
  FileInput input(path);
  input.has(16);
  const std::string_view begin = input.ahead();
  if (begins_as_zstd(begin)) return zstd_stream(std::move(input));
  if (begins_as_gzip(begin)) return gzip_stream(std::move(input));
  // A plain file that calls itself compressed is damaged, not text.
  const std::string_view packing = packing_of(path);
  if (!packing.empty() && !begin.empty())
    fail(Status::data, "{}: damaged: it does not begin as {} data does", path, packing);
  for (const Packing& p : kNotRead)
    if (begin.starts_with(p.begins) && (p.name != "bzip2" || begin.substr(4).starts_with(kBzip2Block)))
      fail(Status::data, "{}: {} data; text is read plain, gzip or zstd. Unpack it first: {} {}", path, p.name,
           p.unpack, path);
  return std::make_unique<PlainStream>(std::move(input));
}

}  // namespace og

// gzip data: members one after the other up to the end of the file, each with its checksum. Unlike gzread, which gives
// back what follows a member as if it had not been there, anything else is refused.
#include <zlib.h>

#include "framework/core/error.h"
#include "framework/data/byte_stream.h"

namespace og {

namespace {

class GzipStream final : public ByteStream {
 public:
  explicit GzipStream(FileInput input) : ByteStream(std::move(input), "gzip member") {
    OG_CHECK(inflateInit2(&zlib_, 15 + 16) == Z_OK, "inflateInit2 failed");  // the largest window, gzip's header
  }
  ~GzipStream() override { inflateEnd(&zlib_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  size_t read(std::span<char> to) override {
    for (;;) {
      if (between_members_) {
        if (!input_.has(1)) return 0;
        if (!input_.has(2) || !begins_as_gzip(input_.ahead()))
          damaged("damaged: what follows the end of its gzip data is no gzip data");
        inflateReset(&zlib_);
        between_members_ = false;
      }
      if (!input_.has(1)) damaged("truncated gzip data");
      const std::string_view ahead = input_.ahead();
      zlib_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(ahead.data()));
      zlib_.avail_in = static_cast<uInt>(ahead.size());
      zlib_.next_out = reinterpret_cast<Bytef*>(to.data());
      zlib_.avail_out = static_cast<uInt>(to.size());
      const int code = inflate(&zlib_, Z_NO_FLUSH);
      input_.take(ahead.size() - zlib_.avail_in);
      const size_t got = to.size() - zlib_.avail_out;
      decoded(to.first(got));
      if (code == Z_STREAM_END) {
        part_ended();
        between_members_ = true;
      } else if (code != Z_OK) {
        damaged(fmt::format("damaged gzip data: {}", zlib_.msg != nullptr ? zlib_.msg : zError(code)));
      }
      if (got > 0) return got;
    }
  }

 private:
  z_stream zlib_{};
  bool between_members_ = true;
};

}  // namespace

bool begins_as_gzip(std::string_view bytes) { return bytes.starts_with("\x1F\x8B"); }

std::unique_ptr<ByteStream> gzip_stream(FileInput input) { return std::make_unique<GzipStream>(std::move(input)); }

}  // namespace og

// zstd data (RFC 8878): frames one after the other, skippable ones among them, up to the end of the file. Reading a
// frame takes as much memory as its window is long.
#define ZSTD_STATIC_LINKING_ONLY  // ZSTD_getFrameHeader
#include <zstd.h>
#include <zstd_errors.h>

#include "framework/core/error.h"
#include "framework/core/log.h"
#include "framework/data/byte_stream.h"

namespace og {

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kUsualWindow = 128 * kMiB;  // what zstd itself reads without --long

class ZstdStream final : public ByteStream {
 public:
  explicit ZstdStream(FileInput input) : ByteStream(std::move(input), "zstd frame"), zstd_(ZSTD_createDStream()) {
    OG_CHECK(zstd_ != nullptr, "ZSTD_createDStream failed");
    const int most = ZSTD_dParam_getBounds(ZSTD_d_windowLogMax).upperBound;
    ZSTD_DCtx_setParameter(zstd_, ZSTD_d_windowLogMax, most);
    most_window_ = uint64_t{1} << most;
  }
  ~ZstdStream() override { ZSTD_freeDStream(zstd_); }
  ZstdStream(const ZstdStream&) = delete;
  ZstdStream& operator=(const ZstdStream&) = delete;

  size_t read(std::span<char> to) override {
    for (;;) {
      if (between_frames_) {
        if (!input_.has(1)) return 0;
        begin_frame();
      }
      if (!input_.has(1) && !holds_more_) damaged("truncated zstd data");
      ZSTD_inBuffer in{input_.ahead().data(), input_.ahead().size(), 0};
      ZSTD_outBuffer out{to.data(), to.size(), 0};
      const size_t left = ZSTD_decompressStream(zstd_, &out, &in);
      if (ZSTD_isError(left)) refuse(left);
      input_.take(in.pos);
      decoded(to.first(out.pos));
      holds_more_ = out.pos == out.size;
      if (left == 0) {
        if (!skippable_) part_ended();
        between_frames_ = true;
      }
      if (out.pos > 0) return out.pos;
    }
  }

 private:
  void begin_frame() {
    input_.has(ZSTD_FRAMEHEADERSIZE_MAX);
    const std::string_view ahead = input_.ahead();
    if (!begins_as_zstd(ahead)) damaged("damaged: what follows the end of its zstd data is no zstd data");
    ZSTD_frameHeader header{};
    const size_t code = ZSTD_getFrameHeader(&header, ahead.data(), ahead.size());
    window_ = header.windowSize;
    if (ZSTD_isError(code) && ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge) {
      // Window_Descriptor: five bits of exponent, three of mantissa.
      const auto descriptor = static_cast<unsigned char>(ahead[5]);
      const uint64_t base = uint64_t{1} << (10 + (descriptor >> 3));
      window_ = base + base / 8 * (descriptor & 7);
    } else if (ZSTD_isError(code)) {
      refuse(code);
    } else if (code > 0) {
      damaged("truncated zstd data");
    }
    skippable_ = header.frameType == ZSTD_skippableFrame;
    between_frames_ = holds_more_ = false;
    if (skippable_) return;
    if (window_ > most_window_)
      fail(
          Status::data,
          "{}: reading it takes {} MiB of memory, the length of its zstd window; windows up to {} MiB are read. Unpack "
          "it with the program that made it",
          input_.path(), window_ / kMiB, most_window_ / kMiB);
    if (header.dictID != 0)
      fail(Status::data, "{}: compressed with the zstd dictionary {}, which is not here. Unpack it first: zstd -d -D",
           input_.path(), header.dictID);
    if (window_ > kUsualWindow && !told_) {
      told_ = true;
      log::info("{}: a long zstd window: reading it takes {} MiB of memory", input_.path(), window_ / kMiB);
    }
  }

  [[noreturn]] void refuse(size_t code) const {
    if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
      fail(Status::data, "{}: its zstd window needs {} MiB of memory, which this machine or its limit does not give",
           input_.path(), window_ / kMiB);
    damaged(fmt::format("damaged zstd data: {}", ZSTD_getErrorName(code)));
  }

  ZSTD_DStream* zstd_;
  uint64_t most_window_ = 0, window_ = 0;
  bool between_frames_ = true, skippable_ = false, told_ = false;
  bool holds_more_ = false;  // decoded already, for want of room in `to`
};

}  // namespace

bool begins_as_zstd(std::string_view bytes) {
  constexpr std::string_view kFrame = "\x28\xB5\x2F\xFD", kSkippable = "\x2A\x4D\x18";  // after 0x50 to 0x5F
  return bytes.starts_with(kFrame) || (bytes.size() >= 4 && (static_cast<unsigned char>(bytes[0]) & 0xF0) == 0x50 &&
                                       bytes.substr(1).starts_with(kSkippable));
}

std::unique_ptr<ByteStream> zstd_stream(FileInput input) { return std::make_unique<ZstdStream>(std::move(input)); }

}  // namespace og

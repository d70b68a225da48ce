#include "framework/data/token_file.h"

#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "framework/core/error.h"
#include "framework/io/json.h"

namespace og {

namespace {

constexpr char kMagic[8] = {'O', 'G', 'T', 'O', 'K', 'E', 'N', 'S'};
constexpr uint64_t kVersion = 1;
constexpr int64_t kNarrow = 65536;

int64_t aligned(int64_t n) { return (n + 63) / 64 * 64; }

std::string hash(const void* data, size_t bytes) { return fmt::format("{:016x}", XXH3_64bits(data, bytes)); }

}  // namespace

bool TokenFile::is_token_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error) || std::filesystem::file_size(path, error) < sizeof kMagic)
    return false;
  const MappedFile file(path);
  return std::memcmp(file.bytes().data(), kMagic, sizeof kMagic) == 0;
}

TokenFile::TokenFile(const std::string& path, bool verify_ids) : file_(path) {
  const auto bytes = file_.bytes();
  const auto damaged = [&](const std::string& what) {
    fail(Status::data, "{}: damaged token file: {}. Make it again with `onegather data prepare`", path, what);
  };
  uint64_t fixed[2];
  if (bytes.size() < 24) damaged(fmt::format("{} bytes, a header has at least 24", bytes.size()));
  if (std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0) damaged("it does not begin with OGTOKENS");
  std::memcpy(fixed, bytes.data() + 8, sizeof fixed);
  if (fixed[0] != kVersion)
    fail(Status::data, "{}: token file of version {}, this program reads version {}", path, fixed[0], kVersion);
  if (fixed[1] > bytes.size() - 24) damaged("the header is cut off");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 24, fixed[1]);
  const Json header = Json::parse(text, path);
  num_tokens_ = header["tokens"].integer();
  num_documents_ = header["documents"].integer();
  vocab_size_ = header["vocab_size"].integer();
  tokenizer_ = header["tokenizer"].string();
  wide_ = header["dtype"].string() == "I32";
  if (num_tokens_ < 0 || num_documents_ < 0 || num_tokens_ > (int64_t{1} << 48)) damaged("impossible counts");
  const int64_t offsets_at = aligned(24 + static_cast<int64_t>(fixed[1]));
  const int64_t ids_at = aligned(offsets_at + (num_documents_ + 1) * 8);
  const int64_t end = ids_at + num_tokens_ * (wide_ ? 4 : 2);
  if (end != file_.size()) damaged(fmt::format("{} bytes, expected {}", file_.size(), end));
  offsets_ = reinterpret_cast<const int64_t*>(bytes.data() + offsets_at);
  ids_ = bytes.data() + ids_at;
  const auto offset_bytes = static_cast<size_t>((num_documents_ + 1) * 8);
  if (hash(offsets_, offset_bytes) != header["offsets_checksum"].string()) damaged("wrong checksum of the offsets");
  if (offsets_[0] != 0 || offsets_[num_documents_] != num_tokens_) damaged("the offsets do not cover the tokens");
  if (verify_ids && hash(ids_, static_cast<size_t>(end - ids_at)) != header["ids_checksum"].string())
    damaged("wrong checksum of the ids");
}

int64_t TokenFile::document_of(int64_t i) const {
  // Empty documents share their offset with the next: take the last that begins at or before i.
  return std::upper_bound(offsets_, offsets_ + num_documents_ + 1, i) - offsets_ - 1;
}

TokenFileWriter::TokenFileWriter(std::string path, int64_t vocab_size, std::string tokenizer)
    : path_(std::move(path)), tokenizer_(std::move(tokenizer)), vocab_size_(vocab_size) {}

void TokenFileWriter::add_document(std::span<const int32_t> ids) {
  if (vocab_size_ <= kNarrow) {
    for (int32_t id : ids) narrow_.push_back(static_cast<uint16_t>(id));
  } else {
    wide_.insert(wide_.end(), ids.begin(), ids.end());
  }
  offsets_.push_back(offsets_.back() + static_cast<int64_t>(ids.size()));
}

void TokenFileWriter::finish() {
  const bool wide = vocab_size_ > kNarrow;
  const std::span<const std::byte> ids = wide ? std::as_bytes(std::span(wide_)) : std::as_bytes(std::span(narrow_));
  const std::span<const std::byte> offsets = std::as_bytes(std::span(offsets_));
  const std::string header = Json::object({{"dtype", wide ? "I32" : "U16"},
                                           {"tokens", offsets_.back()},
                                           {"documents", static_cast<int64_t>(offsets_.size()) - 1},
                                           {"vocab_size", vocab_size_},
                                           {"tokenizer", tokenizer_},
                                           {"offsets_checksum", hash(offsets.data(), offsets.size())},
                                           {"ids_checksum", hash(ids.data(), ids.size())}})
                                 .dump();
  const std::string temporary = fmt::format("{}.{}.part", path_, ::getpid());
  {
    FileWriter out(temporary);
    int64_t at = 0;
    const auto put = [&](std::span<const std::byte> part) {
      out.write(part);
      at += static_cast<int64_t>(part.size());
    };
    constexpr std::byte kZeros[64] = {};
    const auto pad = [&] { put(std::span(kZeros).first(static_cast<size_t>(aligned(at) - at))); };
    const uint64_t fixed[2] = {kVersion, header.size()};
    put(std::as_bytes(std::span(kMagic)));
    put(std::as_bytes(std::span(fixed)));
    put(std::as_bytes(std::span(header)));
    pad();
    put(offsets);
    pad();
    put(ids);
    out.finish();
  }
  std::filesystem::rename(temporary, path_);
}

}  // namespace og

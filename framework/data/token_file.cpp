#include "framework/data/token_file.h"

#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "framework/core/error.h"
#include "framework/core/number.h"
#include "framework/data/file_name.h"
#include "framework/io/json.h"

namespace og {

namespace {

constexpr char kMagic[8] = {'O', 'G', 'T', 'O', 'K', 'E', 'N', 'S'};
constexpr uint64_t kVersion = 1;
constexpr int64_t kFixed = 32;      // magic, version, length and checksum of the header
constexpr int64_t kIdsAt = 4096;    // where the ids begin
constexpr int64_t kNarrow = 65536;  // vocabularies up to here are u16

int64_t aligned(int64_t n) { return (n + 63) / 64 * 64; }

uint64_t hash(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }
std::string hexadecimal(uint64_t x) { return fmt::format("{:016x}", x); }

template <class... Args>
[[noreturn]] void damaged(const std::string& path, fmt::format_string<Args...> what, Args&&... args) {
  fail(Status::data, "{}: damaged token file: {}. Make it again with `onegather data prepare`", path,
       fmt::format(what, std::forward<Args>(args)...));
}

// The fields of a header, each of the type and in the range that it must have.
class Header {
 public:
  Header(const std::string& path, std::string_view text) : path_(path) {
    try {
      json_ = Json::parse(text, "header");
    } catch (const Error& e) {
      damaged(path_, "{}", e.what());
    }
    if (json_.kind() != Json::Kind::object) damaged(path_, "header: expected an object, found {}", json_.kind_name());
  }
  bool has(const char* name) const { return json_.find(name) != nullptr; }
  int64_t integer(const char* name, int64_t least, int64_t most) const {
    const Json& value = field(name, Json::Kind::integer, "an integer");
    if (value.integer() < least || value.integer() > most)
      damaged(path_, "header: {} is {}, expected {} to {}", name, value.integer(), least, most);
    return value.integer();
  }
  const std::string& string(const char* name) const {
    const std::string& value = field(name, Json::Kind::string, "a string").string();
    if (value.empty()) damaged(path_, "header: {} is empty", name);
    return value;
  }

 private:
  const Json& field(const char* name, Json::Kind kind, const char* expected) const {
    const Json* found = json_.find(name);
    if (found == nullptr) damaged(path_, "header: no {}", name);
    if (found->kind() != kind)
      damaged(path_, "header: {} is {} ({}), expected {}", name, found->dump().substr(0, 40), found->kind_name(),
              expected);
    return *found;
  }
  const std::string& path_;
  Json json_;
};

}  // namespace

bool TokenFile::is_token_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  if (name_ends_with(path, ".tokens")) return true;
  if (std::filesystem::file_size(path, error) < sizeof kMagic) return false;
  const MappedFile file(path);
  return std::memcmp(file.bytes().data(), kMagic, sizeof kMagic) == 0;
}

TokenFile::TokenFile(const std::string& path, bool verify_ids) : file_(path) {
  const auto bytes = file_.bytes();
  if (file_.size() < kFixed) damaged(path, "{} bytes, expected at least {}", bytes.size(), kFixed);
  if (std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0) damaged(path, "it does not begin with OGTOKENS");
  uint64_t fixed[3];
  std::memcpy(fixed, bytes.data() + sizeof kMagic, sizeof fixed);
  const auto [version, header_bytes, header_hash] = fixed;
  if (version != kVersion)
    fail(Status::data, "{}: token file of version {}, expected version {}. Make it again with `onegather data prepare`",
         path, version, kVersion);
  if (header_bytes > kIdsAt - kFixed || file_.size() < kIdsAt) damaged(path, "the header is cut off");
  const auto header_part = bytes.subspan(kFixed, header_bytes);
  if (hash(header_part) != header_hash) damaged(path, "wrong checksum of the header");

  const Header header(path, {reinterpret_cast<const char*>(header_part.data()), header_part.size()});
  constexpr int64_t kMost = int64_t{1} << 48;  // the largest count: no sum or product of sizes below overflows
  const std::string& type = header.string("dtype");
  if (type != "U16" && type != "I32") damaged(path, "header: dtype is {}, expected U16 or I32", type);
  wide_ = type == "I32";
  num_tokens_ = header.integer("tokens", 0, kMost);
  num_documents_ = header.integer("documents", 0, kMost);
  vocab_size_ = header.integer("vocab_size", 1, wide_ ? INT32_MAX : kNarrow);
  largest_id_ = header.integer("largest_id", num_tokens_ > 0 ? 0 : -1, num_tokens_ > 0 ? vocab_size_ - 1 : -1);
  skipped_lines_ = header.has("skipped_lines") ? header.integer("skipped_lines", 0, INT64_MAX) : 0;
  tokenizer_ = header.string("tokenizer");
  const std::string &ids_hash = header.string("ids_checksum"), &offsets_hash = header.string("offsets_checksum");
  content_ = ids_hash + offsets_hash;

  const int64_t ids_bytes = num_tokens_ * (wide_ ? 4 : 2), offsets_at = aligned(kIdsAt + ids_bytes);
  const int64_t offsets_bytes = (num_documents_ + 1) * 8;
  if (offsets_at + offsets_bytes != file_.size())
    damaged(path, "{} bytes, expected {} of {} tokens of type {} and {}", file_.size(), offsets_at + offsets_bytes,
            num_tokens_, type, counted(num_documents_, "document"));
  const auto ids = bytes.subspan(kIdsAt, static_cast<size_t>(ids_bytes));
  const auto offsets = bytes.subspan(static_cast<size_t>(offsets_at), static_cast<size_t>(offsets_bytes));
  ids_ = ids.data();
  offsets_ = reinterpret_cast<const int64_t*>(offsets.data());
  if (hexadecimal(hash(offsets)) != offsets_hash) damaged(path, "wrong checksum of the offsets");
  check_offsets();
  if (!verify_ids) return;
  if (hexadecimal(hash(ids)) != ids_hash) damaged(path, "wrong checksum of the ids");
  check_ids();
}

void TokenFile::check_offsets() const {
  for (int64_t d = 0; d <= num_documents_; ++d) {
    const int64_t before = d == 0 ? 0 : offsets_[d - 1];
    if (offsets_[d] >= before && offsets_[d] <= num_tokens_) continue;
    damaged(path(), "offset {} is {}, expected {} to {}: offsets rise from 0 to the number of tokens", d, offsets_[d],
            before, num_tokens_);
  }
  if (offsets_[0] != 0 || offsets_[num_documents_] != num_tokens_)
    damaged(path(), "the offsets run from {} to {}, expected 0 to the number of tokens, {}", offsets_[0],
            offsets_[num_documents_], num_tokens_);
}

void TokenFile::check_ids() const {
  int64_t largest = -1;
  for (int64_t i = 0; i < num_tokens_; ++i) {
    const int32_t id = token(i);
    if (id < 0 || id >= vocab_size_)
      damaged(path(), "token {} is {}, expected ids from 0 below the vocabulary's {}", i, id, vocab_size_);
    largest = std::max<int64_t>(largest, id);
  }
  if (largest != largest_id_) damaged(path(), "header: largest_id is {}, the ids' is {}", largest_id_, largest);
}

int64_t TokenFile::document_of(int64_t i) const {
  // Empty documents share their offset with the next: take the last that begins at or before i.
  return std::upper_bound(offsets_, offsets_ + num_documents_ + 1, i) - offsets_ - 1;
}

struct TokenFileWriter::Hash {
  XXH3_state_t* state = XXH3_createState();
  Hash() { XXH3_64bits_reset(state); }
  ~Hash() { XXH3_freeState(state); }
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;
};

TokenFileWriter::TokenFileWriter(std::string path, int64_t vocab_size, std::string tokenizer)
    : path_(std::move(path)),
      temporary_(fmt::format("{}.{}.part", path_, ::getpid())),
      tokenizer_(std::move(tokenizer)),
      vocab_size_(vocab_size),
      wide_(vocab_size > kNarrow),
      hash_(std::make_unique<Hash>()),
      file_(temporary_) {
  constexpr std::byte kZeros[kIdsAt] = {};
  file_.write(kZeros);  // the header's place
}

TokenFileWriter::~TokenFileWriter() = default;

void TokenFileWriter::append(std::span<const int32_t> ids) {
  constexpr size_t kPending = size_t{1} << 20;
  const size_t width = wide_ ? 4 : 2;
  size_t at = pending_.size();
  pending_.resize(at + ids.size() * width);
  for (int32_t id : ids) {
    OG_CHECK(id >= 0 && id < vocab_size_, "token file: expected ids below {}, found {}", vocab_size_, id);
    largest_id_ = std::max(largest_id_, id);
    std::memcpy(pending_.data() + at, &id, width);  // little-endian: the low bytes come first
    at += width;
  }
  if (pending_.size() >= kPending) flush();
  num_tokens_ += std::ssize(ids);
}

void TokenFileWriter::flush() {
  XXH3_64bits_update(hash_->state, pending_.data(), pending_.size());
  file_.write(pending_);
  pending_.clear();
}

void TokenFileWriter::end_document() { offsets_.push_back(num_tokens_); }

void TokenFileWriter::finish() {
  if (offsets_.back() != num_tokens_) end_document();
  flush();
  const auto offsets = std::as_bytes(std::span(offsets_));
  Json fields = Json::object({{"dtype", wide_ ? "I32" : "U16"},
                              {"tokens", num_tokens_},
                              {"documents", num_documents()},
                              {"vocab_size", vocab_size_},
                              {"largest_id", largest_id_},
                              {"tokenizer", tokenizer_},
                              {"ids_checksum", hexadecimal(XXH3_64bits_digest(hash_->state))},
                              {"offsets_checksum", hexadecimal(hash(offsets))}});
  if (skipped_lines_ > 0) fields.append("skipped_lines", skipped_lines_);
  const std::string header = fields.dump();
  OG_CHECK(std::ssize(header) <= kIdsAt - kFixed, "token file: a header of {} bytes does not fit", header.size());
  const int64_t ids_end = kIdsAt + num_tokens_ * (wide_ ? 4 : 2);
  constexpr std::byte kZeros[64] = {};
  file_.write(std::span(kZeros).first(static_cast<size_t>(aligned(ids_end) - ids_end)));
  file_.write(offsets);
  const uint64_t fixed[3] = {kVersion, header.size(), hash(std::as_bytes(std::span(header)))};
  file_.overwrite(0, std::as_bytes(std::span(kMagic)));
  file_.overwrite(sizeof kMagic, std::as_bytes(std::span(fixed)));
  file_.overwrite(kFixed, std::as_bytes(std::span(header)));
  file_.finish();
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary_.c_str());
    fail(Status::data, "{}: cannot be written: {}", path_, std::strerror(error));
  }
}

}  // namespace og

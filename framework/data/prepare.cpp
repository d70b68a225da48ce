#include "framework/data/prepare.h"

#include <xxhash.h>

#include <cstdlib>
#include <filesystem>

#include "framework/core/error.h"
#include "framework/data/text_reader.h"
#include "framework/data/token_file.h"
#include "framework/io/json.h"

namespace og {

namespace {

// The first byte that is not UTF-8, or -1.
int64_t bad_utf8(std::string_view s) {
  size_t i = 0;
  while (i < s.size()) {
    const auto c = static_cast<unsigned char>(s[i]);
    const size_t length = c < 0x80                ? 1
                          : c >= 0xC2 && c < 0xE0 ? 2
                          : c >= 0xE0 && c < 0xF0 ? 3
                          : c >= 0xF0 && c < 0xF5 ? 4
                                                  : 0;
    if (length == 0 || i + length > s.size()) return static_cast<int64_t>(i);
    for (size_t k = 1; k < length; ++k)
      if ((static_cast<unsigned char>(s[i + k]) & 0xC0) != 0x80) return static_cast<int64_t>(i);
    i += length;
  }
  return -1;
}

void check_text(const std::string& where, const std::string& text, bool needs_utf8) {
  const size_t nul = text.find('\0');
  if (nul != std::string::npos)
    fail(Status::data, "{}: binary data (a NUL byte at byte {}); expected text, JSONL or a prepared token file", where,
         nul);
  const int64_t bad = needs_utf8 ? bad_utf8(text) : -1;
  if (bad >= 0)
    fail(Status::data, "{}: not UTF-8 (byte {}), which this tokenizer needs; convert it, or use data.tokenizer: bytes",
         where, bad);
}

}  // namespace

void for_each_document(const std::string& path, const std::string& text_field, bool needs_utf8,
                       const std::function<void(const std::string&)>& f) {
  TextReader reader(path);
  if (!is_jsonl(path)) {
    const std::string text = reader.read_all();
    if (text.empty()) fail(Status::data, "{}: the file is empty", path);
    check_text(path, text, needs_utf8);
    f(text);
    return;
  }
  std::string line;
  int64_t number = 0, documents = 0;
  while (reader.read_line(line)) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = fmt::format("{}:{}", path, number);
    const Json json = Json::parse(line, where);
    const Json* text = json.find(text_field);
    if (text == nullptr || text->kind() != Json::Kind::string)
      fail(Status::data, "{}: no string \"{}\" (data.text_field) in this line", where, text_field);
    check_text(where, text->string(), needs_utf8);
    f(text->string());
    ++documents;
  }
  if (documents == 0) fail(Status::data, "{}: the file is empty", path);
}

Prepared prepare_tokens(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                        const std::string& text_field, const std::string& output) {
  Prepared total;
  TokenFileWriter writer(output, tokenizer.vocab_size(), tokenizer.identity());
  std::vector<int32_t> ids;
  for (const std::string& path : paths)
    for_each_document(path, text_field, tokenizer.identity() != "bytes", [&](const std::string& text) {
      ids.clear();
      tokenizer.encode(text, ids);
      ids.push_back(tokenizer.end_of_document());
      writer.add_document(ids);
      total.documents += 1;
      total.tokens += static_cast<int64_t>(ids.size());
      total.bytes += static_cast<int64_t>(text.size());
    });
  writer.finish();
  return total;
}

std::string cached_tokens(const std::string& path, const Tokenizer& tokenizer, const std::string& text_field) {
  if (TokenFile::is_token_file(path)) return path;
  // The key: content as it lies on disk, tokenizer, and how documents are found in it.
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) TextReader refuse(path);
    const MappedFile file(path);
    XXH3_64bits_update(state, file.bytes().data(), file.bytes().size());
  }
  const std::string rest = fmt::format("|{}|{}|{}", tokenizer.identity(), is_jsonl(path), text_field);
  XXH3_64bits_update(state, rest.data(), rest.size());
  const uint64_t key = XXH3_64bits_digest(state);
  XXH3_freeState(state);

  const char* folder = std::getenv("ONEGATHER_CACHE");
  const std::string cache = folder != nullptr && *folder != '\0' ? folder : "data-cache";
  const std::string cached = fmt::format("{}/{:016x}.tokens", cache, key);
  if (std::filesystem::exists(cached)) return cached;
  make_folders(cache);
  prepare_tokens({path}, tokenizer, text_field, cached);
  return cached;
}

}  // namespace og

#include "framework/data/prepare.h"

#include <cstdlib>
#include <filesystem>

#include "framework/core/error.h"
#include "framework/core/log.h"
#include "framework/data/text_reader.h"
#include "framework/data/token_file.h"
#include "framework/data/utf8.h"
#include "framework/io/checksum.h"
#include "framework/io/json.h"

namespace og {

namespace {

void refuse_binary(const std::string& where, std::string_view text, int64_t text_begin) {
  const size_t nul = text.find('\0');
  if (nul != std::string_view::npos)
    fail(Status::data, "{}: binary data (a NUL byte at byte {}); expected text, JSONL or a prepared token file", where,
         text_begin + static_cast<int64_t>(nul));
}

void check_text(const std::string& where, const std::string& text, bool needs_utf8) {
  refuse_binary(where, text, 0);
  const int64_t bad = needs_utf8 ? first_bad_utf8(text) : -1;
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

namespace {

// A text file as one document, in blocks, so that its size does not matter.
int64_t append_bytes(const std::string& path, const Tokenizer& tokenizer, TokenFileWriter& writer) {
  TextReader reader(path);
  std::string block;
  std::vector<int32_t> ids;
  int64_t bytes = 0;
  for (; reader.read_some(block); block.clear()) {
    refuse_binary(path, block, bytes);
    ids.clear();
    tokenizer.encode(block, ids);
    writer.append(ids);
    bytes += std::ssize(block);
  }
  if (bytes == 0) fail(Status::data, "{}: the file is empty", path);
  const int32_t end = tokenizer.end_of_document();
  writer.add_document({&end, 1});
  return bytes;
}

}  // namespace

Prepared prepare_tokens(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                        const std::string& text_field, const std::string& output) {
  TokenFileWriter writer(output, tokenizer.vocab_size(), tokenizer.identity());
  int64_t bytes = 0;
  std::vector<int32_t> ids;
  for (const std::string& path : paths) {
    if (tokenizer.takes_any_bytes() && !is_jsonl(path)) {
      bytes += append_bytes(path, tokenizer, writer);
      continue;
    }
    for_each_document(path, text_field, !tokenizer.takes_any_bytes(), [&](const std::string& text) {
      ids.clear();
      tokenizer.encode(text, ids);
      ids.push_back(tokenizer.end_of_document());
      writer.add_document(ids);
      bytes += std::ssize(text);
    });
  }
  writer.finish();
  return {writer.num_documents(), writer.num_tokens(), bytes};
}

std::string cached_tokens(const std::string& path, const Tokenizer& tokenizer, const std::string& text_field) {
  if (TokenFile::is_token_file(path)) {
    const TokenFile verify(path, true);
    return path;
  }
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status) || std::filesystem::is_directory(status)) TextReader{path};  // refuses
  if (!std::filesystem::is_regular_file(status))
    fail(Status::data, "{}: expected a file, found a pipe or device; copy it into one", path);
  // The key: content as it lies on disk, tokenizer, and how documents are found in it.
  const std::string key = checksum(
      fmt::format("{}|{}|{}|{}", checksum(MappedFile(path).bytes()), tokenizer.identity(), is_jsonl(path), text_field));

  const char* folder = std::getenv("ONEGATHER_CACHE");
  const std::string cache = folder != nullptr && *folder != '\0' ? folder : "data-cache";
  const std::string cached = fmt::format("{}/{}.tokens", cache, key);
  if (std::filesystem::exists(cached)) {
    try {
      const TokenFile verify(cached, true);
      return cached;
    } catch (const Error& e) {
      log::warning("{}; it is made again now", e.what());
    }
  }
  make_folders(cache);
  prepare_tokens({path}, tokenizer, text_field, cached);
  return cached;
}

}  // namespace og

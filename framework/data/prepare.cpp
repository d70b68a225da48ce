#include "framework/data/prepare.h"

#include <cstdlib>
#include <filesystem>

#include "framework/core/error.h"
#include "framework/core/log.h"
#include "framework/data/json_lines.h"
#include "framework/data/token_file.h"
#include "framework/data/utf8.h"
#include "framework/io/checksum.h"

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

// Of a reader of which nothing was read yet. Returns how many lines were left out.
int64_t read_documents(TextReader& reader, bool lines, const TextRules& rules, bool needs_utf8,
                       const std::function<void(const std::string&)>& f) {
  const std::string& path = reader.path();
  if (!lines) {
    const std::string text = reader.read_all();
    if (text.empty()) fail(Status::data, "{}: the file is empty", path);
    check_text(path, text, needs_utf8);
    f(text);
    return 0;
  }
  JsonLines texts(reader, rules);
  for (std::string text; texts.next(text);) f(text);
  if (texts.skipped() > 0) log::warning("{}: {}", path, texts.skipped_text());
  return texts.skipped();
}

// A text file as one document, in blocks, so that its size does not matter.
int64_t append_bytes(TextReader& reader, const Tokenizer& tokenizer, TokenFileWriter& writer) {
  std::string block;
  std::vector<int32_t> ids;
  int64_t bytes = 0;
  for (; reader.read_some(block); block.clear()) {
    refuse_binary(reader.path(), block, bytes);
    ids.clear();
    tokenizer.encode(block, ids);
    writer.append(ids);
    bytes += std::ssize(block);
  }
  if (bytes == 0) fail(Status::data, "{}: the file is empty", reader.path());
  const int32_t end = tokenizer.end_of_document();
  writer.add_document({&end, 1});
  return bytes;
}

}  // namespace

int64_t for_each_document(const std::string& path, const TextRules& rules, bool needs_utf8,
                          const std::function<void(const std::string&)>& f) {
  TextReader reader(path);
  const bool lines = holds_json_lines(reader, rules);
  return read_documents(reader, lines, rules, needs_utf8, f);
}

Prepared prepare_tokens(const std::vector<std::string>& paths, const Tokenizer& tokenizer, const TextRules& rules,
                        const std::string& output) {
  TokenFileWriter writer(output, tokenizer.vocab_size(), tokenizer.identity());
  int64_t bytes = 0, skipped = 0;
  std::vector<int32_t> ids;
  for (const std::string& path : paths) {
    TextReader reader(path);
    const bool lines = holds_json_lines(reader, rules);
    if (tokenizer.takes_any_bytes() && !lines) {
      bytes += append_bytes(reader, tokenizer, writer);
      continue;
    }
    skipped += read_documents(reader, lines, rules, !tokenizer.takes_any_bytes(), [&](const std::string& text) {
      ids.clear();
      tokenizer.encode(text, ids);
      ids.push_back(tokenizer.end_of_document());
      writer.add_document(ids);
      bytes += std::ssize(text);
    });
  }
  writer.set_skipped_lines(skipped);
  writer.finish();
  return {writer.num_documents(), writer.num_tokens(), bytes, skipped};
}

std::string cached_tokens(const std::string& path, const Tokenizer& tokenizer, const TextRules& rules) {
  if (TokenFile::is_token_file(path)) {
    const TokenFile verify(path, true);
    return path;
  }
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status) || std::filesystem::is_directory(status)) TextReader{path};  // refuses
  if (!std::filesystem::is_regular_file(status))
    fail(Status::data, "{}: expected a file, found a pipe or device; copy it into one", path);
  TextReader beginning(path);
  const bool lines = holds_json_lines(beginning, rules);
  // The key: content as it lies on disk, tokenizer, how documents are found in it, and the version of this file's way.
  constexpr int kVersion = 2;  // 2: without a byte order mark
  const std::string key = checksum(fmt::format("{}|{}|{}|{}|{}|{}", checksum(MappedFile(path).bytes()),
                                               tokenizer.identity(), lines ? "lines" : "text", rules.text_field,
                                               rules.skip_bad_lines ? "skip" : "refuse", kVersion));

  const char* folder = std::getenv("ONEGATHER_CACHE");
  const std::string cache = folder != nullptr && *folder != '\0' ? folder : "data-cache";
  const std::string cached = fmt::format("{}/{}.tokens", cache, key);
  if (std::filesystem::exists(cached)) {
    try {
      const TokenFile verify(cached, true);
      if (verify.skipped_lines() > 0)
        log::warning("{}: {} bad line{} left out when it was prepared (data.bad_lines: skip)", path,
                     verify.skipped_lines(), verify.skipped_lines() == 1 ? "" : "s");
      return cached;
    } catch (const Error& e) {
      log::warning("{}; it is made again now", e.what());
    }
  }
  make_folders(cache);
  // The decision is made: a second look would say so again.
  TextRules decided = rules;
  decided.format = lines ? TextRules::Format::jsonl : TextRules::Format::text;
  prepare_tokens({path}, tokenizer, decided, cached);
  return cached;
}

}  // namespace og

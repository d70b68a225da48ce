#include "framework/data/prepare.h"

#include <cstdlib>
#include <filesystem>

#include "framework/core/error.h"
#include "framework/core/log.h"
#include "framework/core/number.h"
#include "framework/core/utf8.h"
#include "framework/data/document_encoder.h"
#include "framework/data/json_lines.h"
#include "framework/data/text_reader.h"
#include "framework/data/token_file.h"
#include "framework/io/checksum.h"

namespace og {

namespace {

void refuse_binary(const std::string& where, std::string_view text, int64_t text_begin) {
  const size_t nul = text.find('\0');
  if (nul != std::string_view::npos)
    fail(Status::data, "{}: binary data (a NUL byte at byte {}); expected text, JSONL or a prepared token file", where,
         text_begin + static_cast<int64_t>(nul));
}

void refuse_other_encodings(const std::string& where, std::string_view text, int64_t text_begin) {
  const int64_t bad = first_bad_utf8(text);
  if (bad >= 0)
    fail(Status::data, "{}: not UTF-8 (byte {}), which this tokenizer needs; convert it, or use data.tokenizer: bytes",
         where, text_begin + bad);
}

// Gives f every text of the lines; nothing was read from the reader before. Returns how many lines were left out.
int64_t read_lines(TextReader& reader, const TextRules& rules, const std::function<void(const std::string&)>& f,
                   const FileWatch& watch) {
  JsonLines texts(reader, rules);
  int64_t documents = 0;
  for (std::string text; texts.next(text);) {
    f(text);
    if (watch && ++documents % 64 == 0) watch(reader.position());
  }
  if (texts.skipped() > 0) log::warning("{}: {}", reader.path(), texts.skipped_text());
  return texts.skipped();
}

}  // namespace

int64_t for_each_document(const std::string& path, const TextRules& rules, bool needs_utf8,
                          const std::function<void(const std::string&)>& f) {
  TextReader reader(path);
  if (holds_json_lines(reader, rules)) return read_lines(reader, rules, f, {});
  const std::string text = reader.read_all();
  if (text.empty()) fail(Status::data, "{}: the file is empty", path);
  refuse_binary(path, text, 0);
  if (needs_utf8) refuse_other_encodings(path, text, 0);
  f(text);
  return 0;
}

int64_t for_each_text(const std::string& path, const TextRules& rules, bool needs_utf8,
                      const std::function<void(std::string_view)>& text, const std::function<void()>& end,
                      const FileWatch& watch) {
  TextReader reader(path);
  if (holds_json_lines(reader, rules))
    return read_lines(
        reader, rules,
        [&](const std::string& document) {
          text(document);
          end();
        },
        watch);
  std::string block;
  int64_t before = 0;  // bytes of text before the block
  for (bool more = true; more;) {
    const size_t unfinished = block.size();
    more = reader.read_some(block);
    refuse_binary(path, std::string_view(block).substr(unfinished), before + static_cast<int64_t>(unfinished));
    // An unfinished character waits for the next block.
    const size_t whole = needs_utf8 && more ? whole_characters(block) : block.size();
    const std::string_view part = std::string_view(block).substr(0, whole);
    if (needs_utf8) refuse_other_encodings(path, part, before);
    if (!part.empty()) text(part);
    before += static_cast<int64_t>(whole);
    block.erase(0, whole);
    if (watch) watch(reader.position());
  }
  if (before == 0) fail(Status::data, "{}: the file is empty", path);
  end();
  return 0;
}

Prepared prepare_tokens(const std::vector<std::string>& paths, const Tokenizer& tokenizer, const TextRules& rules,
                        const std::string& output, int threads, const FileWatch& watch) {
  TokenFileWriter writer(output, tokenizer.vocab_size(), tokenizer.identity());
  DocumentEncoder encoder(tokenizer, writer, threads);
  int64_t bytes = 0, read = 0, skipped = 0;
  for (const std::string& path : paths) {
    int64_t here = 0;
    skipped += for_each_text(
        path, rules, !tokenizer.takes_any_bytes(),
        [&](std::string_view text) {
          encoder.add(text);
          bytes += std::ssize(text);
        },
        [&] { encoder.end_document(); },
        [&](int64_t at) {
          here = at;
          if (watch) watch(read + here);
        });
    read += here;
  }
  encoder.finish();
  if (watch) watch(read);
  writer.set_skipped_lines(skipped);
  writer.finish();
  return {writer.num_documents(), writer.num_tokens(), bytes, skipped};
}

std::string cached_tokens(const std::string& path, const Tokenizer& tokenizer, const TextRules& rules, int threads,
                          const FileWatch& watch) {
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
  const auto not_read_yet = [&](int64_t) {
    if (watch) watch(0);
  };
  const std::string content = checksum(MappedFile(path).bytes(), not_read_yet);
  const std::string key =
      checksum(fmt::format("{}|{}|{}|{}|{}|{}", content, tokenizer.identity(), lines ? "lines" : "text",
                           rules.text_field, rules.skip_bad_lines ? "skip" : "refuse", kVersion));

  const char* folder = std::getenv("ONEGATHER_CACHE");
  const std::string cache = folder != nullptr && *folder != '\0' ? folder : "data-cache";
  const std::string cached = fmt::format("{}/{}.tokens", cache, key);
  if (std::filesystem::exists(cached)) {
    try {
      const TokenFile verify(cached, true);
      if (verify.skipped_lines() > 0)
        log::warning("{}: {} left out when it was prepared (data.bad_lines: skip)", path,
                     counted(verify.skipped_lines(), "bad line"));
      return cached;
    } catch (const Error& e) {
      log::warning("{}; it is made again now", e.what());
    }
  }
  make_folders(cache);
  // The decision is made: a second look would say so again.
  TextRules decided = rules;
  decided.format = lines ? TextRules::Format::jsonl : TextRules::Format::text;
  prepare_tokens({path}, tokenizer, decided, cached, threads, watch);
  return cached;
}

}  // namespace og

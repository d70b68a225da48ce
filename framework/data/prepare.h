// Text and JSONL files to token files. A text file is one document, a line of JSONL is one.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "framework/data/format.h"
#include "framework/data/tokenizer.h"

namespace og {

// Told now and then how many bytes of the files, as they lie on disk, have been read; what it throws ends the work, and
// nothing half made is left.
using FileWatch = std::function<void(int64_t read)>;

// Calls f for each document of the file. Refused with Error(Status::data): missing, empty, damaged, binary (a NUL
// byte), for text tokenizers bytes that are not UTF-8, and lines that are not JSON objects with a string text_field
// (named by file:line) unless the rules leave them out. Returns how many were left out, and says why.
int64_t for_each_document(const std::string& path, const TextRules& rules, bool needs_utf8,
                          const std::function<void(const std::string&)>& f);

// The same texts as they come, for documents of any size: text(part) in whole characters, then end() after each
// document's last part.
int64_t for_each_text(const std::string& path, const TextRules& rules, bool needs_utf8,
                      const std::function<void(std::string_view)>& text, const std::function<void()>& end,
                      const FileWatch& watch = {});

// The file is the same at any number of threads.
struct Prepared {
  int64_t documents = 0, tokens = 0, bytes = 0, skipped_lines = 0;
};
Prepared prepare_tokens(const std::vector<std::string>& paths, const Tokenizer& tokenizer, const TextRules& rules,
                        const std::string& output, int threads = 1, const FileWatch& watch = {});

// The token file for `path`: itself if it is one, else from the cache, made now if it is not there or damaged. Either
// way it has been read whole and agrees with its checksums. The cache is the folder $ONEGATHER_CACHE, or data-cache
// below the working folder; its names are hashes of content, tokenizer and how documents are found in it.
std::string cached_tokens(const std::string& path, const Tokenizer& tokenizer, const TextRules& rules, int threads = 1,
                          const FileWatch& watch = {});

}  // namespace og

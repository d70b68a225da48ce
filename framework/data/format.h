// What a data file is: one text, or lines of JSON that hold a text each. By data.format where it says so, else by the
// file's name without regard to case, else by its content. What is neither for sure is refused, never guessed.
#pragma once

#include <cstdint>
#include <string>

#include "framework/data/text_reader.h"

namespace og {

// How text is read: the keys of `data` of the same names.
struct TextRules {
  enum class Format : uint8_t { by_file, text, jsonl };
  std::string text_field = "text";
  Format format = Format::by_file;
  bool skip_bad_lines = false;
};
// format: auto, text or jsonl; bad_lines: refuse or skip. Others: Error(Status::usage).
TextRules text_rules(const std::string& text_field, const std::string& format, const std::string& bad_lines);

// Whether the file, of which nothing was read yet, is lines of JSON. Refused with Error(Status::data): a JSON array or
// an object spread over lines where lines are expected, and JSON whose first line has no text_field.
bool holds_json_lines(TextReader& reader, const TextRules& rules);

}  // namespace og

// Texts out of lines of JSON, one a line. Bad lines are refused or, by data.bad_lines: skip, left out and counted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "framework/data/format.h"

namespace og {

struct BadLine {
  enum class Kind : uint8_t { not_json, lone_surrogate, not_an_object, no_field, not_a_string, nul };
  Kind kind;
  std::string what;    // "\"text\" is null": few different ones, to be counted
  std::string detail;  // where in the line, what else it has; may be empty
};

// The string `text_field` of the object, or what is wrong with the line.
std::optional<BadLine> read_json_line(std::string_view line, const std::string& text_field, std::string& text);

class JsonLines {
 public:
  // Both must outlive it.
  JsonLines(TextReader& reader, const TextRules& rules) : reader_(reader), rules_(rules) {}
  // The next text; false at the end. Error(Status::data): a bad line, by file:line, or a file without a good one.
  bool next(std::string& text);
  int64_t skipped() const { return skipped_; }
  // How many lines were left out and why; empty: none.
  std::string skipped_text() const;

 private:
  void skip(const BadLine& bad);
  TextReader& reader_;
  const TextRules& rules_;
  std::string line_;
  int64_t number_ = 0, texts_ = 0, skipped_ = 0;
  struct Skipped {
    int64_t count = 0, first_line = 0;
    std::string first_detail;
  };
  std::map<std::string, Skipped> reasons_;
};

}  // namespace og

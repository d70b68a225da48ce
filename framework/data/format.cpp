#include "framework/data/format.h"

#include <algorithm>

#include "framework/core/error.h"
#include "framework/core/log.h"
#include "framework/core/problem.h"
#include "framework/data/file_name.h"
#include "framework/data/json_lines.h"

namespace og {

namespace {

constexpr size_t kLongestLine = size_t{64} << 20;  // longest first line that is read to find out what the file is
constexpr std::string_view kSpace = " \t\r\n";

struct Beginning {
  enum class Kind : uint8_t {
    text,         // no JSON object or array
    array,        // the beginning of one, or one that is all there is
    open_object,  // an object that goes on in the next line
    object,       // a whole one
    faulty,       // from {" to }, and not JSON
    long_line
  };
  Kind kind = Kind::text;
  std::optional<Problem> problem{};  // set for faulty lines and for objects without the text field
};

// By the first line that is not blank.
Beginning look(TextReader& reader, const std::string& text_field) {
  using Kind = Beginning::Kind;
  size_t count = 4096;
  std::string_view ahead = reader.peek(count);
  const size_t first = ahead.find_first_not_of(kSpace);
  if (first == std::string_view::npos || (ahead[first] != '{' && ahead[first] != '[')) return {};
  const bool array = ahead[first] == '[';
  size_t end = ahead.find('\n', first);
  while (end == std::string_view::npos && ahead.size() >= count) {
    if (count >= kLongestLine) return {array ? Kind::array : Kind::long_line, {}};
    count *= 2;
    ahead = reader.peek(count);
    end = ahead.find('\n', first);
  }
  if (end == std::string_view::npos) end = ahead.size();
  ahead = reader.peek(end + 4096);
  std::string_view line = ahead.substr(first, end - first);
  line = line.substr(0, line.find_last_not_of(kSpace) + 1);
  if (array) {
    const bool alone = ahead.find_first_not_of(kSpace, end) == std::string_view::npos;
    return {alone || !line.ends_with(']') ? Kind::array : Kind::text, {}};
  }
  std::string text;
  const auto bad = read_json_line(line, text_field, text);
  if (!bad) return {Kind::object, {}};
  if (bad->kind == BadLine::Kind::no_field) return {Kind::object, Problem{bad->detail}};
  if (bad->kind != BadLine::Kind::not_json && bad->kind != BadLine::Kind::lone_surrogate) return {Kind::object, {}};
  if (std::string_view("{[,:").find(line.back()) != std::string_view::npos) return {Kind::open_object, {}};
  const size_t inner = line.find_first_not_of(kSpace, 1);
  if (line.ends_with('}') && inner != std::string_view::npos && line[inner] == '"')
    return {Kind::faulty, Problem{fmt::format("{}, {}", bad->what, bad->detail)}};
  return {};
}

// With the command that makes lines of it.
[[noreturn]] void refuse_json(const std::string& path, const char* found, const char* filter) {
  const std::string_view packing = packing_of(path), plain = without_packing(path);
  // Beside the file, under another name than its own.
  const std::string lines(plain.substr(0, name_says(path) == NameSays::json ? plain.size() - 5 : plain.size()));
  const std::string make = packing.empty()
                               ? fmt::format("jq -c {} {}", filter, path)
                               : fmt::format("{} {} | jq -c {}", packing == "gzip" ? "zcat" : "zstdcat", path, filter);
  fail(Status::data,
       "{}: {}; expected one JSON object a line. Make lines of it: {} > {}.jsonl. (data.format: text takes the file "
       "as one text)",
       path, found, make, lines);
}

}  // namespace

TextRules text_rules(const std::string& text_field, const std::string& format, const std::string& bad_lines) {
  TextRules rules{.text_field = text_field, .skip_bad_lines = bad_lines == "skip"};
  if (format == "text")
    rules.format = TextRules::Format::text;
  else if (format == "jsonl")
    rules.format = TextRules::Format::jsonl;
  else if (format != "auto")
    fail(Status::usage, "format: expected auto, text or jsonl, found {}", format);
  if (bad_lines != "skip" && bad_lines != "refuse")
    fail(Status::usage, "bad_lines: expected refuse or skip, found {}", bad_lines);
  return rules;
}

bool holds_json_lines(TextReader& reader, const TextRules& rules) {
  using Kind = Beginning::Kind;
  if (rules.format == TextRules::Format::text) return false;
  const std::string& path = reader.path();
  const NameSays name = name_says(path);
  const Beginning begins = look(reader, rules.text_field);
  const bool lines = rules.format == TextRules::Format::jsonl || name == NameSays::lines;
  if (lines || name == NameSays::json) {
    if (begins.kind == Kind::array) refuse_json(path, "one JSON array", "'.[]'");
    if (begins.kind == Kind::open_object) refuse_json(path, "a JSON object over several lines", ".");
  }
  if (lines) return true;
  std::string doubt;
  if (begins.kind == Kind::object && begins.problem)
    doubt =
        fmt::format("its first line is a JSON object without \"{}\", with {}", rules.text_field, begins.problem->text);
  else if (begins.kind == Kind::faulty)
    doubt = fmt::format("its first line looks like JSON and is none ({})", begins.problem->text);
  else if (begins.kind == Kind::long_line)
    doubt = fmt::format("it begins with {{ and its first line is longer than {} MiB", kLongestLine >> 20);
  else if (begins.kind != Kind::object && name == NameSays::json && !reader.peek(1).empty())
    doubt = "it is named .json and does not begin with a JSON object";
  if (!doubt.empty())
    fail(Status::data,
         "{}: {}. Say what it is: data.format: jsonl (lines, whose field data.text_field is the text) or text (one "
         "text)",
         path, doubt);
  if (begins.kind == Kind::object && name == NameSays::nothing)
    log::info("{}: read as lines of JSON, as its first line is (data.format: text takes it as one text)", path);
  return begins.kind == Kind::object;
}

}  // namespace og

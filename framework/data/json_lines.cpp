#include "framework/data/json_lines.h"

#include <fmt/format.h>

#include <algorithm>

#include "framework/core/error.h"
#include "framework/io/json.h"

namespace og {

namespace {

// What the parser says, without what is the same for every line and without the text it read, which may be long.
BadLine not_json(std::string_view problem) {
  for (const std::string_view before : {"not JSON: ", "parse error at line 1, "})
    if (const size_t at = problem.find(before); at != std::string_view::npos)
      problem = problem.substr(at + before.size());
  problem = problem.substr(0, problem.find("; last read"));
  if (problem.find("surrogate") == std::string_view::npos)
    return {BadLine::Kind::not_json, "not JSON", std::string(problem)};
  return {BadLine::Kind::lone_surrogate, "a lone surrogate, \\uD800 to \\uDFFF without its other half",
          std::string(problem.substr(0, problem.find(':')))};
}

std::string names_in(const Json& object) {
  constexpr size_t kShown = 8;
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(kShown, object.members().size()); ++i)
    names.push_back(fmt::format("\"{}\"", object.members()[i].first.substr(0, 40)));
  if (names.empty()) return "no members";
  return fmt::format("the members {}{}", fmt::join(names, ", "), object.members().size() > kShown ? " and others" : "");
}

std::string with(const std::string& what, const std::string& detail) {
  return detail.empty() ? what : fmt::format("{} ({})", what, detail);
}

}  // namespace

std::optional<BadLine> read_json_line(std::string_view line, const std::string& text_field, std::string& text) {
  using Kind = BadLine::Kind;
  // The parser takes a NUL outside a string for the end of its input.
  if (const size_t nul = line.find('\0'); nul != std::string_view::npos)
    return BadLine{Kind::nul, "a NUL byte", fmt::format("byte {}", nul)};
  Json json;
  try {
    json = Json::parse(line, "");
  } catch (const Error& e) {
    return not_json(e.what());
  }
  if (json.kind() != Json::Kind::object) return BadLine{Kind::not_an_object, json.kind_name(), ""};
  const Json* found = json.find(text_field);
  if (found == nullptr) return BadLine{Kind::no_field, fmt::format("no \"{}\"", text_field), names_in(json)};
  if (found->kind() != Json::Kind::string)
    return BadLine{Kind::not_a_string, fmt::format("\"{}\" is {}", text_field, found->kind_name()), ""};
  text = found->string();
  const size_t nul = text.find('\0');
  if (nul == std::string::npos) return std::nullopt;
  return BadLine{Kind::nul, fmt::format("a NUL character in \"{}\"", text_field), fmt::format("byte {}", nul)};
}

bool JsonLines::next(std::string& text) {
  while (reader_.read_line(line_)) {
    ++number_;
    if (line_.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::optional<BadLine> bad = read_json_line(line_, rules_.text_field, text);
    if (!bad) {
      ++texts_;
      return true;
    }
    if (!rules_.skip_bad_lines)
      fail(Status::data,
           "{}:{}: {}; expected a JSON object with a string \"{}\" (data.text_field). data.bad_lines: skip leaves such "
           "lines out{}",
           reader_.path(), number_, with(bad->what, bad->detail), rules_.text_field,
           texts_ == 0 && bad->kind == BadLine::Kind::not_json ? "; data.format: text takes the file as one text" : "");
    skip(*bad);
  }
  if (texts_ > 0) return false;
  if (skipped_ == 0) fail(Status::data, "{}: the file is empty", reader_.path());
  fail(Status::data, "{}: no good line. {}", reader_.path(), skipped_text());
}

void JsonLines::skip(const BadLine& bad) {
  ++skipped_;
  Skipped& reason = reasons_[bad.what];
  if (reason.count++ == 0) reason.first_line = number_, reason.first_detail = bad.detail;
}

std::string JsonLines::skipped_text() const {
  if (skipped_ == 0) return {};
  std::vector<std::string> reasons;
  for (const auto& [what, s] : reasons_)
    reasons.push_back(fmt::format("{} x {}, first in line {}", s.count, with(what, s.first_detail), s.first_line));
  return fmt::format("{} of {} lines left out (data.bad_lines: skip): {}", skipped_, skipped_ + texts_,
                     fmt::join(reasons, "; "));
}

}  // namespace og

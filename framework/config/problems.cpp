#include "framework/config/problems.h"

#include <algorithm>
#include <tuple>

namespace og {

std::string Origin::str() const {
  switch (kind) {
    case Kind::built_in:
      return "default";
    case Kind::file:
      return fmt::format("{}:{}", file, line);
    case Kind::include:
      return fmt::format("include {}:{}", file, line);
    case Kind::command_line:
      return "command line";
  }
  return "?";
}

std::string Origin::place() const {
  const bool in_file = kind == Kind::file || kind == Kind::include;
  return in_file ? fmt::format("{}:{}:{}", file, line, column) : str();
}

void Problems::add(const Origin& origin, const std::string& key, const std::string& message) {
  if (!key.empty()) keys_.insert(key);
  std::string text = origin.kind == Origin::Kind::built_in ? "" : origin.place() + ": ";
  if (!key.empty()) text += key + ": ";
  told_.push_back({origin, text + message});
}

bool Problems::about(const std::string& key) const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const std::string& k) { return k == key || k.starts_with(key + "."); });
}

std::optional<Problem> Problems::all() {
  if (told_.empty()) return std::nullopt;
  // As a reader meets them: file by file from the top, then the command line, then what is nowhere.
  const auto rank = [](const Told& p) {
    const Origin& o = p.origin;
    const int where = o.kind == Origin::Kind::include        ? 0
                      : o.kind == Origin::Kind::file         ? 1
                      : o.kind == Origin::Kind::command_line ? 2
                                                             : 3;
    return std::tuple(where, o.file, o.line, o.column);
  };
  std::stable_sort(told_.begin(), told_.end(), [&](const Told& a, const Told& b) { return rank(a) < rank(b); });
  if (told_.size() == 1) return Problem{told_[0].text};
  std::string all = fmt::format("{} problems in the configuration:", told_.size());
  for (const Told& p : told_) all += "\n  " + p.text;
  return Problem{all};
}

void Problems::report() {
  if (const auto problem = all()) fail(Status::usage, "{}", problem->text);
}

}  // namespace og

#include "framework/config/overrides.h"

#include <algorithm>

#include "framework/config/key_names.h"
#include "framework/config/keys.h"
#include "framework/core/error.h"

namespace og {

namespace {

// What is wrong with words[i] as key=value. Words of what was meant to be one are taken together: `i` is the last of
// them.
std::optional<Problem> check_override(const std::vector<std::string>& words, size_t& i) {
  const std::string& word = words[i];
  const size_t equals = word.find('=');
  if (equals != std::string::npos && equals > 0 && equals < word.find_first_of(" \t")) return std::nullopt;
  if (word.ends_with(".yaml") || word.ends_with(".yml"))
    return Problem{fmt::format("expected key=value, found \"{}\"; there is one config file, the first word", word)};
  std::string found = word;  // train.num_steps 5, train.num_steps = 5, train.num_steps: 5
  const size_t key_end = word.find_first_of(":= ");
  const std::string key = key_end == 0 ? "" : guess_key(word.substr(0, key_end), false).key;
  if (key.empty()) return Problem{fmt::format("expected key=value, found \"{}\"", word)};
  const auto value_in = [](const std::string& text) {
    const size_t first = text.find_first_not_of(":= ");
    return first == std::string::npos ? "" : text.substr(first);
  };
  std::string value = key_end == std::string::npos ? "" : value_in(word.substr(key_end));
  while (value.empty() && i + 1 < words.size() && words[i + 1].find('=', 1) == std::string::npos) {
    found += " " + words[++i];
    value = value_in(words[i]);
  }
  return Problem{
      fmt::format("expected key=value, found \"{}\"; write {}={}", found, key, value.empty() ? "VALUE" : value)};
}

// The value as it is written to be one text, or a list of such.
std::string in_quotes(const std::string& value) {
  if (!value.starts_with('[') || !value.ends_with(']')) return fmt::format("\"{}\"", value);
  std::string list;
  for (size_t begin = 1; begin < value.size();) {
    const size_t end = std::min(value.find(',', begin), value.size() - 1);
    begin = std::min(value.find_first_not_of(' ', begin), end);
    list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", value.substr(begin, end - begin));
    begin = end + 1;
  }
  return "[" + list + "]";
}

// What of the value would not be read.
std::optional<Problem> lost_of(const std::string& value, YamlNode& node) {
  try {
    node = parse_yaml(value, "");
  } catch (const Error&) {
    return Problem{" is not YAML"};
  }
  const bool comment = value.find(" #") != std::string::npos && !node.quoted && node.kind != YamlNode::Kind::sequence &&
                       node.text.find('#') == std::string::npos;
  if (comment) return Problem{": what follows # is a comment"};
  return std::nullopt;
}

// a.b.c=x is {a: {b: {c: x}}}.
YamlNode nested(std::string path, YamlNode node) {
  while (!path.empty()) {
    const size_t dot = path.rfind('.');
    YamlNode key, map;
    key.kind = YamlNode::Kind::scalar;
    key.text = path.substr(dot + 1);
    map.kind = YamlNode::Kind::map;
    map.entries.emplace_back(std::move(key), std::move(node));
    node = std::move(map);
    path = dot == std::string::npos ? "" : path.substr(0, dot);
  }
  return node;
}

}  // namespace

std::vector<Override> read_overrides(const std::vector<std::string>& words) {
  std::vector<Override> all;
  for (size_t i = 0; i < words.size(); ++i) {
    Override& o = all.emplace_back();
    const std::string word = words[i];
    o.problem = check_override(words, i);
    if (o.problem) continue;
    const size_t equals = word.find('=');
    const std::string value = word.substr(equals + 1);
    o.key = word.substr(0, equals);
    YamlNode node;
    if (const auto lost = lost_of(value, node)) {
      const ConfigKey* key = find_config_key(o.key);
      o.problem = Problem{fmt::format("the value \"{}\"{}", value, lost->text)};
      if (key && (key->rule.kind == ValueRule::Kind::text || key->rule.kind == ValueRule::Kind::sources))
        o.problem->text +=
            fmt::format("; a text with any of , : # [ ] {{ }} stands in quotes: '{}={}'", o.key, in_quotes(value));
    }
    o.root = nested(o.key, std::move(node));
  }
  return all;
}

}  // namespace og

#include "framework/train/config_value.h"

#include <charconv>
#include <cmath>

#include "framework/core/nearest.h"

namespace og {

namespace {

using Kind = ConfigKey::Kind;

template <class T>
bool parse_number(std::string_view text, T& out) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::string joined(const std::vector<std::string>& words) {
  std::string s;
  for (const std::string& w : words) s += (s.empty() ? "" : ", ") + w;
  return s;
}

std::string range_text(const ValueRule& rule) {
  const bool low = std::isfinite(rule.least), high = std::isfinite(rule.most) && rule.most < 1e9;
  if (low && high) return fmt::format(" from {:g} to {:g}", rule.least, rule.most);
  if (low) return fmt::format(" >= {:g}", rule.least);
  return high ? fmt::format(" <= {:g}", rule.most) : "";
}

std::string expected(const ValueRule& rule) {
  std::string s;
  switch (rule.kind) {
    case Kind::boolean:
      s = "true or false";
      break;
    case Kind::integer:
      s = "a whole number" + range_text(rule);
      for (const std::string& word : rule.choices) s += " or " + word;
      break;
    case Kind::real:
      s = "a number" + range_text(rule);
      break;
    case Kind::choice:
      s = "one of " + joined(rule.choices);
      break;
    case Kind::text:
      s = "a text";
      break;
    case Kind::pair:
      s = "a list of two numbers" + range_text(rule);
      break;
    case Kind::sources:
      s = "a list of files, each a path or {path: FILE, weight: NUMBER > 0}";
      break;
  }
  return rule.nullable ? s + " or null" : s;
}

bool read_real(const YamlNode& node, double& out) {
  return node.kind == YamlNode::Kind::scalar && !node.quoted && parse_number(node.text, out) && std::isfinite(out);
}

bool in_range(const ValueRule& rule, double x) { return x >= rule.least && x <= rule.most; }

bool read_source(const YamlNode& node, DataConfig::Source& out) {
  if (node.kind == YamlNode::Kind::scalar) {
    out.path = node.text;
    return !out.path.empty();
  }
  if (node.kind != YamlNode::Kind::map) return false;
  for (const auto& [key, value] : node.entries) {
    if (key.text == "path" && value.kind == YamlNode::Kind::scalar)
      out.path = value.text;
    else if (key.text != "weight" || !read_real(value, out.weight) || out.weight <= 0)
      return false;
  }
  return !out.path.empty();
}

bool read_sources(const YamlNode& node, std::vector<DataConfig::Source>& out) {
  if (node.kind == YamlNode::Kind::scalar) return read_source(node, out.emplace_back());  // one file needs no list
  if (node.kind != YamlNode::Kind::sequence) return false;
  for (const YamlNode& item : node.items)
    if (!read_source(item, out.emplace_back())) return false;
  return true;
}

// Scalars. Lists are read apart.
bool read_scalar(const ValueRule& rule, const YamlNode& node, ConfigValue& out) {
  const std::string& text = node.text;
  if (rule.kind == Kind::text) {
    out = text;
    return true;
  }
  if (rule.kind == Kind::real) {
    double x = 0;
    if (!read_real(node, x) || !in_range(rule, x)) return false;
    out = x;
    return true;
  }
  if (rule.kind == Kind::boolean) {
    const bool yes = text == "true" || text == "True" || text == "TRUE";
    out = yes;
    return !node.quoted && (yes || text == "false" || text == "False" || text == "FALSE");
  }
  for (const std::string& choice : rule.choices)
    if (text == choice) {
      out = text;
      return true;
    }
  int64_t i = 0;
  if (rule.kind != Kind::integer || node.quoted || !parse_number(text, i)) return false;
  out = i;
  return in_range(rule, static_cast<double>(i));
}

}  // namespace

ValueRule rule_of(const ConfigKey& key) { return {key.kind, key.least, key.most, key.choices, key.nullable}; }

ValueRule rule_of(const OptionSpec& option) {
  constexpr Kind kKinds[] = {Kind::boolean, Kind::integer, Kind::real, Kind::choice};
  const bool null_default = std::holds_alternative<std::monostate>(option.fallback) && !option.required;
  return {kKinds[static_cast<size_t>(option.kind)], option.least, option.most, option.choices,
          option.nullable || null_default};
}

ReadValue read_value(const ValueRule& rule, const YamlNode& node) {
  ReadValue read;
  bool good = false;
  if (node.kind == YamlNode::Kind::null && rule.nullable) {
    good = true;
  } else if (rule.kind == Kind::pair) {
    std::vector<double> pair(node.items.size());
    good = node.items.size() == 2;
    for (size_t i = 0; i < pair.size() && good; ++i)
      good = read_real(node.items[i], pair[i]) && in_range(rule, pair[i]);
    read.value = std::move(pair);
  } else if (rule.kind == Kind::sources) {
    std::vector<DataConfig::Source> sources;
    good = read_sources(node, sources);
    read.value = std::move(sources);
  } else if (node.kind == YamlNode::Kind::scalar) {
    good = read_scalar(rule, node, read.value);
  }
  if (good) return read;
  read.problem = fmt::format("expected {}, found {}", expected(rule), node.describe());
  if (node.kind == YamlNode::Kind::scalar) {
    if (rule.kind == Kind::boolean)
      read.problem += did_you_mean(node.text, {"true", "false"});
    else
      read.problem += did_you_mean(node.text, rule.choices);
  }
  return read;
}

}  // namespace og

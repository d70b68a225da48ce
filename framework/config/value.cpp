#include "framework/config/value.h"

#include <fmt/format.h>

#include <algorithm>

#include "framework/core/nearest.h"
#include "framework/core/number.h"

namespace og {

namespace {

using Kind = ValueRule::Kind;

NumberRule number_of(const ValueRule& rule) {
  return {.whole = rule.kind == Kind::integer, .least = rule.least, .most = rule.most};
}

template <class T>
bool read_number(const YamlNode& node, const NumberRule& rule, T& out) {
  return node.kind == YamlNode::Kind::scalar && !node.quoted && parse_number(node.text, rule, out);
}

// What was found, for a message.
std::string found(const ValueRule& rule, const YamlNode& node) {
  if (rule.kind != Kind::pair || node.kind != YamlNode::Kind::sequence) return shortened(node.describe());
  std::string list;
  for (const YamlNode& item : node.items) list += (list.empty() ? "" : ", ") + item.describe();
  return shortened("[" + list + "]");
}

// What to write instead: the number that was meant, the nearest word.
std::string hint(const ValueRule& rule, const YamlNode& node) {
  if (rule.kind == Kind::pair && node.kind == YamlNode::Kind::scalar) return "; write [0.9, 0.95]";
  if (node.kind != YamlNode::Kind::scalar) return "";
  if (rule.kind == Kind::boolean) return did_you_mean(node.text, {"true", "false"});
  if (const std::string word = did_you_mean(node.text, rule.choices); !word.empty()) return word;
  if (rule.kind != Kind::integer && rule.kind != Kind::real) return "";
  double x = 0;
  if (node.quoted && parse_number(node.text, number_of(rule), x)) return fmt::format("; write {} without quotes", x);
  return number_hint(node.text, number_of(rule));
}

bool read_source(const YamlNode& node, DataConfig::Source& out) {
  if (node.kind == YamlNode::Kind::scalar) {
    out.path = node.text;
    return !out.path.empty();
  }
  if (node.kind != YamlNode::Kind::map) return false;
  for (const auto& [key, value] : node.entries) {
    if (key.text == "path" && value.kind == YamlNode::Kind::scalar)
      out.path = value.text;
    else if (key.text != "weight" || !read_number(value, {.least = 0, .above = true}, out.weight))
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
    const bool good = read_number(node, number_of(rule), x);
    out = x;
    return good;
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
  const bool good = rule.kind == Kind::integer && read_number(node, number_of(rule), i);
  out = i;
  return good;
}

// The values that are built, where some are planned.
std::string built(const ValueRule& rule) {
  std::vector<std::string> all = rule.choices;
  if (rule.kind == Kind::integer)
    for (double value = rule.least; value <= rule.most; ++value) all.push_back(fmt::format("{}", value));
  return fmt::format("{}", fmt::join(all, ", "));
}

std::string real_text(double r) {
  std::string s = fmt::format("{}", r);
  // YAML readers want a point in a real: 1e-06 is a string to some.
  if (s.find('.') != std::string::npos) return s;
  const size_t exponent = s.find('e');
  return exponent == std::string::npos ? s + ".0" : s.substr(0, exponent) + ".0" + s.substr(exponent);
}

}  // namespace

std::string expected(const ValueRule& rule) {
  std::string s;
  switch (rule.kind) {
    case Kind::boolean:
      s = "true or false";
      break;
    case Kind::integer:
      s = "a whole number" + number_of(rule).range();
      for (const std::string& word : rule.choices) s += " or " + word;
      break;
    case Kind::real:
      s = "a number" + number_of(rule).range();
      break;
    case Kind::choice:
      s = fmt::format("one of {}", fmt::join(rule.choices, ", "));
      break;
    case Kind::text:
      s = "a text";
      break;
    case Kind::pair:
      s = "a list of two numbers" + number_of(rule).range();
      break;
    case Kind::sources:
      s = "a list of files, each a path";
      if (rule.weighted) s += " or {path: FILE, weight: NUMBER > 0}";
      break;
  }
  return rule.nullable ? s + " or null" : s;
}

ValueRule rule_of(const OptionSpec& option) {
  constexpr Kind kKinds[] = {Kind::boolean, Kind::integer, Kind::real, Kind::choice};
  const bool null_default = std::holds_alternative<std::monostate>(option.fallback) && !option.required;
  return {.kind = kKinds[static_cast<size_t>(option.kind)],
          .least = option.least,
          .most = option.most,
          .choices = option.choices,
          .nullable = option.nullable || null_default};
}

std::optional<Problem> read_value(const ValueRule& rule, const YamlNode& node, ConfigValue& out) {
  if (std::find(rule.planned.begin(), rule.planned.end(), node.text) != rule.planned.end())
    return Problem{fmt::format("{} is not built yet; built: {}", node.text, built(rule))};
  ConfigValue value;
  bool good = false;
  if (node.kind == YamlNode::Kind::null && rule.nullable) {
    good = true;
  } else if (rule.kind == Kind::pair) {
    std::vector<double> pair(node.items.size());
    good = node.items.size() == 2;
    for (size_t i = 0; i < pair.size() && good; ++i) good = read_number(node.items[i], number_of(rule), pair[i]);
    value = std::move(pair);
  } else if (rule.kind == Kind::sources) {
    std::vector<DataConfig::Source> sources;
    good = read_sources(node, sources);
    value = std::move(sources);
  } else if (node.kind == YamlNode::Kind::scalar) {
    good = read_scalar(rule, node, value);
  }
  if (!good)
    return Problem{fmt::format("expected {}, found {}{}", expected(rule), found(rule, node), hint(rule, node))};
  out = std::move(value);
  return std::nullopt;
}

std::optional<Problem> read_value(const OptionSpec& option, const YamlNode& node, OptionValue& out) {
  ConfigValue value;
  if (auto problem = read_value(rule_of(option), node, value)) return problem;
  std::visit(
      [&](auto& v) {
        if constexpr (std::is_constructible_v<OptionValue, decltype(v)>) out = std::move(v);
      },
      value);
  return std::nullopt;
}

std::string to_text(const ConfigValue& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<int64_t>(&value)) return fmt::format("{}", *i);
  if (const auto* r = std::get_if<double>(&value)) return real_text(*r);
  if (const auto* s = std::get_if<std::string>(&value)) return yaml_string(*s);
  std::string list;
  if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
    for (double r : *reals) list += (list.empty() ? "" : ", ") + real_text(r);
  } else if (const auto* sources = std::get_if<std::vector<DataConfig::Source>>(&value)) {
    for (const DataConfig::Source& s : *sources) {
      if (!list.empty()) list += ", ";
      list += s.weight == 0 ? yaml_string(s.path)
                            : fmt::format("{{path: {}, weight: {}}}", yaml_string(s.path), real_text(s.weight));
    }
  } else {
    return "null";
  }
  return "[" + list + "]";
}

std::string to_text(const OptionValue& value) {
  return std::visit([](const auto& v) { return to_text(ConfigValue(v)); }, value);
}

}  // namespace og

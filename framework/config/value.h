// Values of keys: what is legal, and a YAML node read as one, or the reason why it is none.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "framework/config/config.h"
#include "framework/core/problem.h"
#include "framework/io/yaml.h"

namespace og {

// monostate: null.
using ConfigValue = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<double>,
                                 std::vector<DataConfig::Source>>;

struct ValueRule {
  enum class Kind : uint8_t { boolean, integer, real, choice, text, pair, sources };
  Kind kind = Kind::integer;
  double least = -std::numeric_limits<double>::infinity();  // bounds integers, reals and the members of pairs
  double most = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices{};  // a choice: its words; an integer: a word allowed instead ("auto")
  bool nullable = false;
  int64_t kept_as = 0;                 // an integer: what a Config holds for null or the word
  bool weighted = false;               // sources: each may have a weight
  std::vector<std::string> planned{};  // values that are refused as not built yet
};
ValueRule rule_of(const OptionSpec& option);

// "a whole number >= 1 or null"
std::string expected(const ValueRule& rule);

// Sets out, or returns why the node is no such value: "expected a whole number >= 1, found 0".
std::optional<Problem> read_value(const ValueRule& rule, const YamlNode& node, ConfigValue& out);
std::optional<Problem> read_value(const OptionSpec& option, const YamlNode& node, OptionValue& out);

// The value as YAML: 1.0e-3, [0.9, 0.95], null.
std::string to_text(const ConfigValue& value);
std::string to_text(const OptionValue& value);

}  // namespace og

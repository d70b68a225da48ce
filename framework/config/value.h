// One YAML node read as a value of a declared kind and range, or the reason why it is none.
#pragma once

#include "framework/config/keys.h"
#include "framework/core/problem.h"
#include "framework/io/yaml.h"

namespace og {

struct ValueRule {
  ConfigKey::Kind kind = ConfigKey::Kind::integer;
  double least, most;
  std::vector<std::string> choices;
  bool nullable = false;
};
ValueRule rule_of(const ConfigKey& key);
ValueRule rule_of(const OptionSpec& option);

// Sets out, or returns why the node is no such value: "expected a whole number >= 1, found 0".
std::optional<Problem> read_value(const ValueRule& rule, const YamlNode& node, ConfigValue& out);
std::optional<Problem> read_value(const OptionSpec& option, const YamlNode& node, OptionValue& out);

}  // namespace og

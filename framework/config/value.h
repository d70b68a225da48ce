// One YAML node read as a value of a declared kind and range, or the reason why it is none.
#pragma once

#include "framework/config/keys.h"
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

struct ReadValue {
  ConfigValue value;
  std::string problem;  // "expected a whole number >= 1, found 0"; "": none
};
ReadValue read_value(const ValueRule& rule, const YamlNode& node);

}  // namespace og

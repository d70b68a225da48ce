// The keys of a config outside `model.mixers` and `model.channels` (whose keys the layer types declare): one table for
// reading, checking, writing and comparing.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "framework/config/config.h"

namespace og {

// monostate: null.
using ConfigValue = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<double>,
                                 std::vector<DataConfig::Source>>;

struct ConfigKey {
  enum class Kind : uint8_t { boolean, integer, real, choice, text, pair, sources };
  std::string path;  // "train.num_steps"
  Kind kind = Kind::integer;
  double least = -std::numeric_limits<double>::infinity();  // bounds integers, reals and the members of pairs
  double most = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices{};  // a choice: its words; an integer: words allowed instead ("auto")
  bool nullable = false;
  std::vector<std::string> built{};  // not empty: the values that are built, all others are refused by name
  enum class Resume : uint8_t { may_change, must_match } resume = Resume::may_change;
  std::function<ConfigValue(const Config&)> get{};
  std::function<void(Config&, const ConfigValue&)> set{};
};

const std::vector<ConfigKey>& config_keys();
const ConfigKey* find_config_key(const std::string& path);

// The value as YAML: 1.0e-3, [0.9, 0.95], null.
std::string to_text(const ConfigValue& value);
std::string to_text(const OptionValue& value);

}  // namespace og

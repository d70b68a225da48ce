// The keys of a config outside `model.mixers` and `model.channels` (whose keys the layer types declare), a row each in
// keys.cpp. Reading, checking, writing, comparing, what is proposed for a name that is no key, and the table in
// configs/README.md come from the rows.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "framework/config/value.h"

namespace og {

// Where a Config holds a value. Integers as wide as they come, enums as their numbers.
struct ConfigField {
  std::function<ConfigValue(const Config&)> get;
  std::function<void(Config&, const ConfigValue&)> set;
};

struct ConfigKey {
  enum class Resume : uint8_t { may_change, must_match };
  struct Elsewhere {
    std::string names;   // in lower case with underscores, a space between two
    std::string remark;  // where it is not the same thing
  };

  std::string path;  // "train.num_steps"
  ValueRule rule;
  ConfigField field;
  std::string meaning;  // what configs/README.md says, with the unit
  Resume resume = Resume::may_change;
  std::string shown_default{};         // there, where it is not the built-in value: "required"
  std::vector<Elsewhere> elsewhere{};  // what other projects call it

  // Parts of a row that most have no need of.
  ConfigKey named(std::string names, std::string remark = "") &&;
  ConfigKey same_when_resumed() &&;
  ConfigKey shown_as(std::string text) &&;

  // As read_value() gives it: null, a word or the name of an enum's value where the rule has them.
  ConfigValue get(const Config& config) const;
  void set(Config& config, const ConfigValue& value) const;
};

const std::vector<ConfigKey>& config_keys();
const ConfigKey* find_config_key(const std::string& path);

}  // namespace og

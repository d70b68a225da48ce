#include "framework/config/fields.h"

#include <algorithm>

namespace og {

ConfigKey ConfigKey::named(std::string names, std::string remark) && {
  elsewhere.push_back({std::move(names), std::move(remark)});
  return std::move(*this);
}

ConfigKey ConfigKey::same_when_resumed() && {
  resume = Resume::must_match;
  return std::move(*this);
}

ConfigKey ConfigKey::shown_as(std::string text) && {
  shown_default = std::move(text);
  return std::move(*this);
}

ConfigValue ConfigKey::get(const Config& config) const {
  const ConfigValue value = field.get(config);
  const auto* number = std::get_if<int64_t>(&value);
  if (!number) return value;
  if (rule.kind == ValueRule::Kind::choice) return rule.choices[static_cast<size_t>(*number)];
  if (*number != rule.kept_as) return value;
  if (rule.nullable) return std::monostate{};
  return rule.choices.empty() ? value : rule.choices[0];
}

void ConfigKey::set(Config& config, const ConfigValue& value) const {
  const bool numbered = std::holds_alternative<int64_t>(field.get(config));
  if (!numbered || std::holds_alternative<int64_t>(value)) return field.set(config, value);
  if (rule.kind == ValueRule::Kind::integer) return field.set(config, rule.kept_as);
  const auto word = std::find(rule.choices.begin(), rule.choices.end(), std::get<std::string>(value));
  field.set(config, int64_t{word - rule.choices.begin()});
}

}  // namespace og

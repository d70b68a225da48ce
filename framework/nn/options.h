// Options of a mixer or channel type: each type declares its keys once, as a table of OptionSpec; the config is checked
// against that table and the layer reads its values from Options. That is why adding a mixer touches no config code.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "framework/core/error.h"

namespace og {

// absent: `null` in YAML.
using OptionValue = std::variant<std::monostate, bool, int64_t, double, std::string>;

struct OptionSpec {
  enum class Kind : uint8_t { boolean, integer, real, choice };
  std::string name;  // "num_heads"
  Kind kind = Kind::integer;
  OptionValue fallback{};  // the default; monostate: null, which is then allowed, or, if `required`, nothing
  double least = -std::numeric_limits<double>::infinity();  // bounds integers and reals, inclusive
  double most = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices{};  // the words of a choice
  bool required = false;
  bool nullable = false;
  std::string help{};  // one line with units

  // Rows of such a table. Without a fallback the default is null, which is then allowed.
  static OptionSpec integer(std::string name, std::optional<int64_t> fallback, double least, std::string help) {
    OptionSpec spec{.name = std::move(name), .kind = Kind::integer, .least = least, .help = std::move(help)};
    if (fallback) spec.fallback = *fallback;
    spec.nullable = !fallback;
    return spec;
  }
  static OptionSpec real(std::string name, std::optional<double> fallback, double least, std::string help) {
    OptionSpec spec{.name = std::move(name), .kind = Kind::real, .least = least, .help = std::move(help)};
    if (fallback) spec.fallback = *fallback;
    spec.nullable = !fallback;
    return spec;
  }
  static OptionSpec boolean(std::string name, bool fallback, std::string help) {
    return {.name = std::move(name), .kind = Kind::boolean, .fallback = fallback, .help = std::move(help)};
  }
  static OptionSpec choice(std::string name, std::string fallback, std::vector<std::string> choices, std::string help) {
    return {.name = std::move(name),
            .kind = Kind::choice,
            .fallback = std::move(fallback),
            .choices = std::move(choices),
            .help = std::move(help)};
  }
};

// The values of one letter of `model.mixers` or `model.channels`, complete: every key of its type has one.
class Options {
 public:
  std::string type;   // "gla"
  std::string where;  // "model.mixers.L", for messages
  std::map<std::string, OptionValue> values;

  bool is_null(const std::string& key) const { return std::holds_alternative<std::monostate>(at(key)); }
  bool boolean(const std::string& key) const { return get<bool>(key); }
  int64_t integer(const std::string& key) const { return get<int64_t>(key); }
  double real(const std::string& key) const {
    const OptionValue& v = at(key);
    return std::holds_alternative<int64_t>(v) ? static_cast<double>(std::get<int64_t>(v)) : get<double>(key);
  }
  const std::string& choice(const std::string& key) const { return std::get<std::string>(at(key)); }

 private:
  const OptionValue& at(const std::string& key) const {
    auto found = values.find(key);
    OG_CHECK(found != values.end(), "{}: type {} has no key {}", where, type, key);
    return found->second;
  }
  template <class T>
  T get(const std::string& key) const {
    const OptionValue& v = at(key);
    OG_CHECK(std::holds_alternative<T>(v), "{}.{}: read as another kind than it has", where, key);
    return std::get<T>(v);
  }
};

// Those values, and the defaults of all other keys that the specs declare.
inline Options options_of(const std::string& type, const std::vector<OptionSpec>& specs, const std::string& where,
                          const std::map<std::string, OptionValue>& values = {}) {
  Options options{.type = type, .where = where, .values = values};
  for (const OptionSpec& spec : specs) options.values.emplace(spec.name, spec.fallback);
  OG_CHECK(options.values.size() == specs.size(), "{}: a value that type {} does not declare", where, type);
  return options;
}

}  // namespace og

// How rows of keys.cpp say what is legal and where a Config holds the value.
#pragma once

#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "framework/config/keys.h"

namespace og {

inline constexpr double kMostCounted = 1e15;  // the largest count: a double holds it

inline ValueRule whole(double least, double most = kMostCounted) { return {.least = least, .most = most}; }
// kept_as: what the Config holds for null or for the word.
inline ValueRule whole_or_null(int64_t kept_as, double least, double most = kMostCounted) {
  return {.least = least, .most = most, .nullable = true, .kept_as = kept_as};
}
inline ValueRule whole_or(const char* word, int64_t kept_as, double least, double most = kMostCounted) {
  return {.least = least, .most = most, .choices = {word}, .kept_as = kept_as};
}
inline ValueRule real(double least, double most = std::numeric_limits<double>::infinity()) {
  return {.kind = ValueRule::Kind::real, .least = least, .most = most};
}
inline ValueRule pair_of_reals(double least, double most) {
  return {.kind = ValueRule::Kind::pair, .least = least, .most = most};
}
inline ValueRule yes_or_no() { return {.kind = ValueRule::Kind::boolean}; }
inline ValueRule any_text() { return {.kind = ValueRule::Kind::text}; }
inline ValueRule list_of_files() { return {.kind = ValueRule::Kind::sources}; }
inline ValueRule mixture_of_files() { return {.kind = ValueRule::Kind::sources, .weighted = true}; }
// Where the field is an enum, the words stand in the order of its values.
inline ValueRule one_of(std::vector<std::string> words) {
  return {.kind = ValueRule::Kind::choice, .choices = std::move(words)};
}
inline ValueRule with_planned(ValueRule rule, std::vector<std::string> values) {
  rule.planned = std::move(values);
  return rule;
}

// member: gives a reference to it in a Config, const or not.
template <class Member>
ConfigField field_of(Member member) {
  using T = std::remove_cvref_t<decltype(member(std::declval<Config&>()))>;
  if constexpr (std::is_enum_v<T> || std::is_same_v<T, int>) {
    return {[member](const Config& c) -> ConfigValue { return static_cast<int64_t>(member(c)); },
            [member](Config& c, const ConfigValue& v) { member(c) = static_cast<T>(std::get<int64_t>(v)); }};
  } else {
    return {[member](const Config& c) -> ConfigValue { return member(c); },
            [member](Config& c, const ConfigValue& v) { member(c) = std::get<T>(v); }};
  }
}

// A value that no Config holds, as there is only one.
inline ConfigField constant(ConfigValue value) {
  return {[value](const Config&) { return value; }, [](Config&, const ConfigValue&) {}};
}

}  // namespace og

// The letters of `model.mixers` and `model.channels`: which layer type each is, and the values of the type's options.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "framework/config/settings.h"

namespace og {

// What a mixer type and a channel type have in common here.
struct LetterType {
  std::string name;
  std::span<const OptionSpec> options;
};
template <class Type>
std::vector<LetterType> letter_types(std::span<const Type> types) {
  std::vector<LetterType> all;
  for (const Type& t : types) all.push_back({t.name, t.options});
  return all;
}

struct LetterGroup {
  std::string path;  // "model.mixers"
  std::string what;  // "mixer"
  std::vector<LetterType> types;
};

// Every letter without a problem, with all options of its type; what was set joins `origins`.
std::map<char, Options> read_letters(const LetterGroup& group, const Settings& settings,
                                     std::map<std::string, Origin>& origins, Problems& problems);

}  // namespace og

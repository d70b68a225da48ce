#include "framework/config/letters.h"

#include <fmt/format.h>

#include <algorithm>

#include "framework/config/key_names.h"
#include "framework/config/value.h"
#include "framework/core/nearest.h"

namespace og {

namespace {

template <class Named>
auto find_named(const Named& all, const std::string& name) -> decltype(&*all.begin()) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

template <class Named>
std::vector<std::string> names_of(const Named& all) {
  std::vector<std::string> names;
  for (const auto& one : all) names.push_back(one.name);
  return names;
}

class LetterReader {
 public:
  LetterReader(const LetterGroup& group, const Settings& settings, std::map<std::string, Origin>& origins,
               Problems& problems)
      : group_(group), settings_(settings), origins_(origins), problems_(problems) {}

  std::map<char, Options> read() {
    std::map<char, Options> out;
    for (const auto& [letter, place] : settings_.letters(group_.path)) {
      Options options;
      options.where = fmt::format("{}.{}", group_.path, letter);
      if (const LetterType* type = read_type(options, place)) {
        read_options(options, *type);
        out[letter] = std::move(options);
      }
    }
    return out;
  }

 private:
  // Null: the type is missing or unknown, which was told.
  const LetterType* read_type(Options& options, const Origin& place) {
    const std::string path = options.where + ".type";
    const std::vector<std::string> names = names_of(group_.types);
    const std::vector<Setting>& given = settings_.of(path);
    if (given.empty()) {
      problems_.add(place, path, fmt::format("required: one of {}", fmt::join(names, ", ")));
      return nullptr;
    }
    bool known = true;
    for (const Setting& s : given) {
      if (s.node.kind == YamlNode::Kind::scalar && find_named(group_.types, s.node.text)) continue;
      known = false;
      problems_.add(s.origin, path,
                    fmt::format("expected a {} type, one of {}, found {}{}", group_.what, fmt::join(names, ", "),
                                s.node.describe(), did_you_mean(s.node.text, names)));
    }
    if (!known) return nullptr;
    options.type = given.back().node.text;
    origins_[path] = given.back().origin;
    return find_named(group_.types, options.type);
  }

  // The type that a letter has once this layer was read; null: none or unknown. Keys may come before their type.
  const LetterType* type_at(const std::string& where, int layer) const {
    const std::vector<Setting>& given = settings_.of(where + ".type");
    const Setting* last = given.empty() ? nullptr : &given.front();
    for (const Setting& s : given)
      if (s.layer <= layer) last = &s;
    return last ? find_named(group_.types, last->node.text) : nullptr;
  }

  void read_options(Options& options, const LetterType& type) {
    for (const OptionSpec& option : type.options) options.values[option.name] = option.fallback;
    for (const std::string& name : settings_.names_set_in(options.where))
      if (name != "type")
        for (const Setting& s : settings_.of(path_in(options.where, name))) read_option(options, type, name, s);
    for (const OptionSpec& option : type.options) {
      const std::string path = path_in(options.where, option.name);
      if (!option.required || origins_.contains(path) || problems_.about(path)) continue;
      problems_.add(origins_[options.where + ".type"], path, fmt::format("required by type {}", type.name));
    }
  }

  void read_option(Options& options, const LetterType& type, const std::string& name, const Setting& s) {
    const std::string path = path_in(options.where, name);
    const OptionSpec* option = find_named(type.options, name);
    // A base file's key for another type than the one that a later layer chose: dropped where it does not fit.
    const LetterType* then = type_at(options.where, s.layer);
    const bool carried = then && then != &type && find_named(then->options, name);
    if (!option) {
      if (!carried)
        problems_.add(settings_.place_of(path), path,
                      fmt::format("type {} has no such key{}", type.name,
                                  option_suggestion(options.where, name, names_of(type.options))));
    } else if (const auto problem = read_value(*option, s.node, options.values[name])) {
      if (!carried) problems_.add(s.origin, path, problem->text);
    } else {
      origins_[path] = s.origin;
    }
  }

  const LetterGroup& group_;
  const Settings& settings_;
  std::map<std::string, Origin>& origins_;
  Problems& problems_;
};

}  // namespace

std::map<char, Options> read_letters(const LetterGroup& group, const Settings& settings,
                                     std::map<std::string, Origin>& origins, Problems& problems) {
  return LetterReader(group, settings, origins, problems).read();
}

}  // namespace og

#include "framework/config/config.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "framework/config/key_names.h"
#include "framework/config/overrides.h"
#include "framework/config/problems.h"
#include "framework/config/value.h"
#include "framework/core/nearest.h"
#include "framework/io/yaml.h"

namespace og {

namespace {

constexpr int kMaxFiles =
    100;  // a config may have so many: files that include the next one twice each grow without end

// What sets a key, in the order of precedence.
struct Setting {
  YamlNode node;
  Origin origin;
  int layer;  // files count up, innermost include first; the command line is last
};

const std::vector<std::string>& planned_mixers() {
  static const std::vector<std::string> names{"rwkv6",      "rwkv7",   "kda",       "delta_product", "dplr",
                                              "comba",      "gsa",     "based",     "rebased",       "log_linear",
                                              "ttt_linear", "ttt_mlp", "titans",    "mesa_net",      "infini",
                                              "hla2",       "ahla",    "hla3",      "fox",           "liza",
                                              "attention",  "linear",  "retention", "lightning",     "simple_gla",
                                              "mamba2",     "gla",     "hgrn2",     "delta_net",     "gated_delta_net"};
  return names;
}

std::string joined(const std::vector<std::string>& words) {
  std::string s;
  for (const std::string& w : words) s += (s.empty() ? "" : ", ") + w;
  return s;
}

bool is_letter_group(const std::string& path) { return path == "model.mixers" || path == "model.channels"; }

std::string parent_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}
std::string last_of(const std::string& path) { return path.substr(path.rfind('.') + 1); }

// The names that may stand in a group: {"model", "data", ...} for "".
std::vector<std::string> names_in(const std::string& group) {
  const std::string prefix = group.empty() ? "" : group + ".";
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const ConfigKey& key : config_keys())
    if (key.path.starts_with(prefix))
      add(key.path.substr(prefix.size(), key.path.find('.', prefix.size()) - prefix.size()));
  if (group == "model") {
    add("mixers");
    add("channels");
  }
  if (group.empty()) add("include");
  return names;
}

bool is_group(const std::string& path) {
  return is_letter_group(path) || is_letter_group(parent_of(path)) ||
         (!find_config_key(path) && !names_in(path).empty());
}

class Reader {
 public:
  explicit Reader(const ConfigRules& rules) : rules_(rules) {}

  void add_file(const std::string& path, std::vector<std::string> including) {
    including.push_back(path);
    if (++num_files_ > kMaxFiles)
      fail(Status::usage, "include: more than {} files, the last of them {}", kMaxFiles, path);
    const YamlNode root = read_yaml(path);
    const Origin::Kind kind = including.size() == 1 ? Origin::Kind::file : Origin::Kind::include;
    if (root.kind == YamlNode::Kind::map)
      for (const auto& [key, value] : root.entries)
        if (key.text == "include") include(value, path, kind, including);
    add_root(root, path, kind, true);
  }

  void add_root(const YamlNode& root, const std::string& name, Origin::Kind kind, bool may_include) {
    ++layer_;
    std::map<std::string, int> lines;
    if (root.kind == YamlNode::Kind::map)
      walk(root, "", name, kind, may_include, lines);
    else if (root.kind != YamlNode::Kind::null)
      problems_.add({kind, name, root.line, root.column}, "", "expected groups of keys, found " + root.describe());
  }

  void add_overrides(const std::vector<std::string>& overrides) {
    ++layer_;
    for (const Override& o : read_overrides(overrides)) {
      const Origin origin{Origin::Kind::command_line, {}, 0, 0};
      std::map<std::string, int> lines;
      if (o.problem)
        problems_.add(origin, o.key, o.problem->text);
      else
        walk(o.root, "", "", Origin::Kind::command_line, false, lines);
    }
  }

  Config finish(const std::string& name) {
    Config config;
    const std::string stem = std::filesystem::path(name).stem().string();
    config.run.dir = "runs/" + (stem.empty() ? "run" : stem);
    for (const ConfigKey& key : config_keys()) read_key(config, key);
    if (problems_.about("include")) problems_.report();  // what the missing file would have said is not missed too
    read_letters(config, "model.mixers", config.model.mixers, rules_.mixers, "mixer");
    read_letters(config, "model.channels", config.model.channels, rules_.channels, "channel part");
    check_config(config, rules_, problems_);
    problems_.report();
    return config;
  }

 private:
  void include(const YamlNode& value, const std::string& file, Origin::Kind kind,
               const std::vector<std::string>& including) {
    std::vector<YamlNode> names = value.items;
    if (value.kind == YamlNode::Kind::scalar) names = {value};
    if (names.empty()) names = {value};
    for (const YamlNode& name : names) {
      const Origin origin{kind, file, name.line, name.column};
      if (name.kind != YamlNode::Kind::scalar) {
        problems_.add(origin, "include", "expected a file name, found " + name.describe());
        continue;
      }
      const std::filesystem::path base = std::filesystem::path(file).parent_path() / name.text;
      const std::string path = base.lexically_normal().string();
      std::error_code error;
      bool cycle = false;
      for (const std::string& above : including) cycle |= std::filesystem::equivalent(above, path, error);
      if (cycle) {
        std::string chain;
        for (const std::string& above : including) chain += above + " -> ";
        problems_.add(origin, "include", "files include each other: " + chain + path);
      } else if (!std::filesystem::is_regular_file(path, error)) {
        problems_.add(origin, "include", "no such file: " + path);
      } else {
        add_file(path, including);
      }
    }
  }

  void walk(const YamlNode& map, const std::string& group, const std::string& file, Origin::Kind kind, bool may_include,
            std::map<std::string, int>& lines) {
    for (const auto& [key, value] : map.entries) {
      const Origin origin{kind, file, key.line, key.column};
      if (key.kind != YamlNode::Kind::scalar) {
        problems_.add(origin, group, "expected a key, found " + key.describe());
        continue;
      }
      const std::string path = group.empty() ? key.text : group + "." + key.text;
      const auto [first, added] = lines.emplace(path, key.line);
      if (!added) {
        problems_.add(origin, path, fmt::format("given twice, first on line {}", first->second));
        continue;
      }
      if (path == "include" && may_include) continue;
      // A value's own place is where a reader looks for what is wrong with it.
      const Origin place{kind, file, value.line ? value.line : key.line, value.line ? value.column : key.column};
      if (is_letter_group(group) && (key.text.size() != 1 || !isalpha(static_cast<unsigned char>(key.text[0])))) {
        problems_.add(origin, path, "expected one letter as the name of a layer type's options");
      } else if (is_group(path)) {
        if (is_letter_group(group)) letters_[group].emplace(key.text[0], origin);
        if (value.kind == YamlNode::Kind::map)
          walk(value, path, file, kind, may_include, lines);
        else if (value.kind != YamlNode::Kind::null)
          problems_.add(place, path, "expected a group of keys, found " + value.describe());
      } else if (find_config_key(path) || is_letter_group(parent_of(group))) {
        settings_[path].push_back({value, value.kind == YamlNode::Kind::null ? origin : place, layer_});
        key_places_[path] = origin;
      } else {
        problems_.add(origin, path, "unknown key" + suggestion(group, key.text));
      }
    }
  }

  // The same name in another group or in another project, then misspelt ones, those of the same group first.
  std::string suggestion(const std::string& group, const std::string& name) const {
    if (const KeyGuess guess = guess_key(name, false); !guess.key.empty()) return guess.str();
    for (const MixerType& type : rules_.mixers)
      for (const OptionSpec& option : type.options)
        if (option.name == name) return fmt::format("; did you mean model.mixers.<letter>.{}?", name);
    for (const ChannelType& type : rules_.channels)
      for (const OptionSpec& option : type.options)
        if (option.name == name) return fmt::format("; did you mean model.channels.<letter>.{}?", name);
    const std::string near = did_you_mean(name, names_in(group));
    return near.empty() ? guess_key(name, true).str() : near;
  }

  void read_key(Config& config, const ConfigKey& key) {
    for (const Setting& s : settings_[key.path]) {
      ConfigValue value;
      auto problem = read_value(rule_of(key), s.node, value);
      if (!problem && !key.built.empty()) {
        const std::string text = to_text(value);
        if (std::find(key.built.begin(), key.built.end(), text) == key.built.end())
          problem = Problem{fmt::format("{} is not built yet; built: {}", text, joined(key.built))};
      }
      if (problem) {
        problems_.add(s.origin, key.path, problem->text);
        continue;
      }
      key.set(config, value);
      config.origins[key.path] = s.origin;
    }
  }

  template <class Type>
  const Type* find_type(std::span<const Type> types, const std::string& name) const {
    for (const Type& t : types)
      if (t.name == name) return &t;
    return nullptr;
  }

  // The type that a letter has once this layer was read; null: none or unknown. Keys may come before their type.
  template <class Type>
  const Type* type_at(std::span<const Type> types, const std::string& where, int layer) {
    const std::vector<Setting>& given = settings_[where + ".type"];
    const Setting* last = given.empty() ? nullptr : &given.front();
    for (const Setting& s : given)
      if (s.layer <= layer) last = &s;
    return last ? find_type(types, last->node.text) : nullptr;
  }

  template <class Type>
  void read_letters(Config& config, const std::string& group, std::map<char, Options>& out, std::span<const Type> types,
                    const char* what) {
    std::vector<std::string> names;
    for (const Type& t : types) names.push_back(t.name);
    for (const auto& [letter, place] : letters_[group]) {
      const std::string where = fmt::format("{}.{}", group, letter);
      const std::vector<Setting> given = settings_[where + ".type"];
      if (given.empty()) {
        problems_.add(place, where + ".type", fmt::format("required: one of {}", joined(names)));
        continue;
      }
      bool known = true;
      for (const Setting& s : given) {
        if (s.node.kind == YamlNode::Kind::scalar && find_type(types, s.node.text)) continue;
        known = false;
        const bool planned =
            std::find(planned_mixers().begin(), planned_mixers().end(), s.node.text) != planned_mixers().end();
        const std::string message =
            planned && group == "model.mixers"
                ? fmt::format("mixer {} is not built yet; built: {}", s.node.text, joined(names))
                : fmt::format("expected a {} type, one of {}, found {}{}", what, joined(names), s.node.describe(),
                              did_you_mean(s.node.text, names));
        problems_.add(s.origin, where + ".type", message);
      }
      if (!known) continue;
      Options options;
      options.where = where;
      options.type = given.back().node.text;
      config.origins[where + ".type"] = given.back().origin;
      read_options(config, options, *find_type(types, options.type), types);
      out[letter] = std::move(options);
    }
  }

  template <class Type>
  void read_options(Config& config, Options& options, const Type& type, std::span<const Type> types) {
    const std::string prefix = options.where + ".";
    const auto spec_of = [](const Type& t, const std::string& name) -> const OptionSpec* {
      for (const OptionSpec& o : t.options)
        if (o.name == name) return &o;
      return nullptr;
    };
    for (const OptionSpec& option : type.options) options.values[option.name] = option.fallback;
    for (const auto& [path, settings] : settings_) {
      if (!path.starts_with(prefix) || path == prefix + "type") continue;
      const std::string name = path.substr(prefix.size());
      for (const Setting& s : settings) {
        const Type* then = type_at(types, options.where, s.layer);
        const OptionSpec* option = spec_of(type, name);
        // A base file's key for another type than the one that a later layer chose: dropped where it does not fit.
        const bool carried = then && then != &type && spec_of(*then, name);
        if (!option && carried) continue;
        if (!option) {
          std::vector<std::string> names;
          for (const OptionSpec& o : type.options) names.push_back(o.name);
          const std::string guess = last_of(guess_key(name, false).key);
          const bool known = std::find(names.begin(), names.end(), guess) != names.end();
          problems_.add(key_places_[path], path,
                        fmt::format("type {} has no such key{}", type.name,
                                    known ? "; did you mean " + guess + "?" : did_you_mean(name, names)));
          continue;
        }
        if (const auto problem = read_value(*option, s.node, options.values[name])) {
          if (!carried) problems_.add(s.origin, path, problem->text);
          continue;
        }
        config.origins[path] = s.origin;
      }
    }
    for (const OptionSpec& option : type.options) {
      const std::string path = prefix + option.name;
      if (!option.required || config.origins.contains(path) || problems_.about(path)) continue;
      problems_.add(config.origin(prefix + "type"), path, fmt::format("required by type {}", type.name));
    }
  }

  const ConfigRules& rules_;
  Problems problems_;
  int layer_ = 0, num_files_ = 0;
  std::map<std::string, std::vector<Setting>> settings_;   // by key
  std::map<std::string, Origin> key_places_;               // where the key itself stands, last one
  std::map<std::string, std::map<char, Origin>> letters_;  // by group
};

}  // namespace

Origin Config::origin(const std::string& key) const {
  const auto found = origins.find(key);
  return found == origins.end() ? Origin{} : found->second;
}

Config load_config(const std::string& path, const std::vector<std::string>& overrides, const ConfigRules& rules) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    std::vector<std::string> others;
    std::filesystem::path folder = std::filesystem::path(path).parent_path();
    for (const auto& entry : std::filesystem::directory_iterator(folder.empty() ? "." : folder, error))
      if (entry.path().extension() == ".yaml") others.push_back((folder / entry.path().filename()).string());
    if (path.find('=') != std::string::npos) fail(Status::usage, "{}: the config file comes before key=value", path);
    fail(Status::usage, "{}: no such config file{}", path, did_you_mean(path, others));
  }
  Reader reader(rules);
  try {
    reader.add_file(path, {});
  } catch (const Error& e) {
    fail(Status::usage, "{}", e.what());  // unreadable: still a wrong config
  }
  reader.add_overrides(overrides);
  return reader.finish(path);
}

Config parse_config(const std::string& text, const std::string& name, const std::vector<std::string>& overrides,
                    const ConfigRules& rules) {
  Reader reader(rules);
  reader.add_root(parse_yaml(text, name), name, Origin::Kind::file, false);
  reader.add_overrides(overrides);
  return reader.finish(name);
}

}  // namespace og

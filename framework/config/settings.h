// Settings: what the files and the command line of a run say, by key, before any value is read. Keys that do not exist
// are told here.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "framework/config/config.h"
#include "framework/config/problems.h"
#include "framework/io/yaml.h"

namespace og {

struct Setting {
  YamlNode node;
  Origin origin;
  int layer;  // files count up, innermost include first; the command line is last
};

class Settings {
 public:
  // Both outlive it.
  Settings(const ConfigRules& rules, Problems& problems) : rules_(rules), problems_(problems) {}

  // After the files that it includes. Error(Status::usage) where a file is not YAML.
  void add_file(const std::string& path) { add_file(path, {}); }
  // `name` stands for the file in messages. `include:` is an unknown key.
  void add_text(const std::string& text, const std::string& name);
  void add_overrides(const std::vector<std::string>& words);

  // What sets the key, in the order of precedence.
  const std::vector<Setting>& of(const std::string& key) const;
  // The names of the keys that are set within a group, which may be a letter's.
  std::vector<std::string> names_set_in(const std::string& group) const;
  // Where the key itself stands, last one.
  const Origin& place_of(const std::string& key) const { return key_places_.at(key); }
  // The letters that stand in model.mixers or model.channels, with their places.
  const std::map<char, Origin>& letters(const std::string& group) const;

 private:
  struct GivenIn {
    std::string file;  // "": the command line
    Origin::Kind kind;
    bool may_include;
  };
  void add_file(const std::string& path, std::vector<std::string> including);
  void include(const YamlNode& value, const GivenIn& source, const std::vector<std::string>& including);
  void add_root(const YamlNode& root, const GivenIn& source);
  void walk(const YamlNode& map, const std::string& group, const GivenIn& source, std::map<std::string, int>& lines);
  void take(const std::string& group, const YamlNode& key, const YamlNode& value, const GivenIn& source,
            std::map<std::string, int>& lines);

  const ConfigRules& rules_;
  Problems& problems_;
  int layer_ = 0, num_files_ = 0;
  std::map<std::string, std::vector<Setting>> settings_;   // by key
  std::map<std::string, Origin> key_places_;               // by key
  std::map<std::string, std::map<char, Origin>> letters_;  // by group
};

}  // namespace og

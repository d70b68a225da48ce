#include "framework/config/settings.h"

#include <filesystem>

#include "framework/config/key_names.h"
#include "framework/config/keys.h"
#include "framework/config/overrides.h"

namespace og {

namespace {

constexpr int kMaxFiles = 100;  // files that include the next one twice each grow without end

}  // namespace

void Settings::add_file(const std::string& path, std::vector<std::string> including) {
  including.push_back(path);
  if (++num_files_ > kMaxFiles)
    fail(Status::usage, "include: more than {} files, the last of them {}", kMaxFiles, path);
  const YamlNode root = read_yaml(path);
  const GivenIn source{path, including.size() == 1 ? Origin::Kind::file : Origin::Kind::include, true};
  if (root.kind == YamlNode::Kind::map)
    for (const auto& [key, value] : root.entries)
      if (key.text == "include") include(value, source, including);
  add_root(root, source);
}

void Settings::add_text(const std::string& text, const std::string& name) {
  add_root(parse_yaml(text, name), {name, Origin::Kind::file, false});
}

void Settings::add_overrides(const std::vector<std::string>& words) {
  ++layer_;
  const GivenIn source{"", Origin::Kind::command_line, false};
  for (const Override& o : read_overrides(words)) {
    std::map<std::string, int> lines;
    if (o.problem)
      problems_.add({source.kind, {}, 0, 0}, o.key, o.problem->text);
    else
      walk(o.root, "", source, lines);
  }
}

void Settings::include(const YamlNode& value, const GivenIn& source, const std::vector<std::string>& including) {
  std::vector<YamlNode> names = value.items;
  if (value.kind == YamlNode::Kind::scalar || names.empty()) names = {value};
  for (const YamlNode& name : names) {
    const Origin origin{source.kind, source.file, name.line, name.column};
    if (name.kind != YamlNode::Kind::scalar) {
      problems_.add(origin, "include", "expected a file name, found " + name.describe());
      continue;
    }
    const std::filesystem::path base = std::filesystem::path(source.file).parent_path() / name.text;
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

void Settings::add_root(const YamlNode& root, const GivenIn& source) {
  ++layer_;
  std::map<std::string, int> lines;
  if (root.kind == YamlNode::Kind::map)
    walk(root, "", source, lines);
  else if (root.kind != YamlNode::Kind::null)
    problems_.add({source.kind, source.file, root.line, root.column}, "",
                  "expected groups of keys, found " + root.describe());
}

// lines: where each key was first given in this text.
void Settings::walk(const YamlNode& map, const std::string& group, const GivenIn& source,
                    std::map<std::string, int>& lines) {
  for (const auto& [key, value] : map.entries) {
    const Origin origin{source.kind, source.file, key.line, key.column};
    if (key.kind != YamlNode::Kind::scalar) {
      problems_.add(origin, group, "expected a key, found " + key.describe());
      continue;
    }
    const std::string path = path_in(group, key.text);
    const auto [first, added] = lines.emplace(path, key.line);
    if (!added)
      problems_.add(origin, path, fmt::format("given twice, first on line {}", first->second));
    else if (path != "include" || !source.may_include)
      take(group, key, value, source, lines);
  }
}

void Settings::take(const std::string& group, const YamlNode& key, const YamlNode& value, const GivenIn& source,
                    std::map<std::string, int>& lines) {
  const std::string path = path_in(group, key.text);
  const bool null = value.kind == YamlNode::Kind::null;
  const Origin origin{source.kind, source.file, key.line, key.column};
  // A value's own place is where a reader looks for what is wrong with it.
  const Origin place = value.line ? Origin{source.kind, source.file, value.line, value.column} : origin;
  if (is_letter_group(group) && (key.text.size() != 1 || !isalpha(static_cast<unsigned char>(key.text[0])))) {
    problems_.add(origin, path, "expected one letter as the name of a layer type's options");
  } else if (is_group(path)) {
    if (is_letter_group(group)) letters_[group].emplace(key.text[0], origin);
    if (value.kind == YamlNode::Kind::map)
      walk(value, path, source, lines);
    else if (!null)
      problems_.add(place, path, "expected a group of keys, found " + value.describe());
  } else if (find_config_key(path) || is_letter(group)) {
    settings_[path].push_back({value, null ? origin : place, layer_});
    key_places_[path] = origin;
  } else {
    problems_.add(origin, path, "unknown key" + suggestion(group, key.text, rules_));
  }
}

const std::vector<Setting>& Settings::of(const std::string& key) const {
  static const std::vector<Setting> none;
  const auto found = settings_.find(key);
  return found == settings_.end() ? none : found->second;
}

std::vector<std::string> Settings::names_set_in(const std::string& group) const {
  std::vector<std::string> names;
  const std::string prefix = group + ".";
  for (auto at = settings_.lower_bound(prefix); at != settings_.end() && at->first.starts_with(prefix); ++at)
    names.push_back(at->first.substr(prefix.size()));
  return names;
}

const std::map<char, Origin>& Settings::letters(const std::string& group) const {
  static const std::map<char, Origin> none;
  const auto found = letters_.find(group);
  return found == letters_.end() ? none : found->second;
}

}  // namespace og

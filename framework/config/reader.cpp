#include <filesystem>

#include "framework/config/keys.h"
#include "framework/config/letters.h"
#include "framework/config/settings.h"
#include "framework/core/nearest.h"

namespace og {

namespace {

void read_key(const ConfigKey& key, const Settings& settings, Config& config, Problems& problems) {
  for (const Setting& s : settings.of(key.path)) {
    ConfigValue value;
    if (const auto problem = read_value(key.rule, s.node, value)) {
      problems.add(s.origin, key.path, problem->text);
      continue;
    }
    key.set(config, value);
    config.origins[key.path] = s.origin;
  }
}

// The config that these settings are, checked; name: the file, after which the run's folder is called.
Config read_config(const Settings& settings, const std::string& name, const ConfigRules& rules, Problems& problems,
                   const std::function<void(Config&)>& adapt) {
  Config config;
  const std::string stem = std::filesystem::path(name).stem().string();
  if (!stem.empty()) config.run.dir = "runs/" + stem;
  for (const ConfigKey& key : config_keys()) read_key(key, settings, config, problems);
  if (problems.about("include")) problems.report();  // what the missing file would have said is not missed too
  config.model.mixers =
      read_letters({"model.mixers", "mixer", letter_types(rules.mixers)}, settings, config.origins, problems);
  config.model.channels = read_letters({"model.channels", "channel part", letter_types(rules.channels)}, settings,
                                       config.origins, problems);
  if (adapt) adapt(config);
  check_config(config, rules, problems);
  problems.report();
  return config;
}

[[noreturn]] void refuse_missing(const std::string& path) {
  if (path.find('=') != std::string::npos) fail(Status::usage, "{}: the config file comes before key=value", path);
  std::error_code error;
  std::vector<std::string> others;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  for (const auto& entry : std::filesystem::directory_iterator(folder.empty() ? "." : folder, error))
    if (entry.path().extension() == ".yaml") others.push_back((folder / entry.path().filename()).string());
  fail(Status::usage, "{}: no such config file{}", path, did_you_mean(path, others));
}

}  // namespace

Origin Config::origin(const std::string& key) const {
  const auto found = origins.find(key);
  return found == origins.end() ? Origin{} : found->second;
}

Config load_config(const std::string& path, const std::vector<std::string>& overrides, const ConfigRules& rules,
                   const std::function<void(Config&)>& adapt) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) refuse_missing(path);
  Problems problems;
  Settings settings(rules, problems);
  try {
    settings.add_file(path);
  } catch (const Error& e) {
    fail(Status::usage, "{}", e.what());  // unreadable: still a wrong config
  }
  settings.add_overrides(overrides);
  return read_config(settings, path, rules, problems, adapt);
}

Config parse_config(const std::string& text, const std::string& name, const std::vector<std::string>& overrides,
                    const ConfigRules& rules) {
  Problems problems;
  Settings settings(rules, problems);
  settings.add_text(text, name);
  settings.add_overrides(overrides);
  return read_config(settings, name, rules, problems, {});
}

}  // namespace og

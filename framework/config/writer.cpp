#include <algorithm>
#include <map>

#include "framework/config/keys.h"

namespace og {

namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

void list_letters(const std::map<char, Options>& letters, Values& out) {
  for (const auto& [letter, options] : letters) {
    out.emplace_back(options.where + ".type", options.type);
    for (const auto& [name, value] : options.values) out.emplace_back(options.where + "." + name, to_text(value));
  }
}

// Whether a change of this key keeps a checkpoint from being resumed. Letters that no layer uses do not matter.
bool must_match(const std::string& key, const Config& a, const Config& b) {
  if (const ConfigKey* known = find_config_key(key)) return known->resume == ConfigKey::Resume::must_match;
  const bool mixer = key.starts_with("model.mixers.");
  const char letter = key[std::string(mixer ? "model.mixers." : "model.channels.").size()];
  const auto used = [&](const Config& c) {
    return (mixer ? c.model.layer_pattern : c.model.channel_pattern).find(letter) != std::string::npos;
  };
  return used(a) || used(b);
}

}  // namespace

Values list_values(const Config& config) {
  Values out;
  bool letters_done = false;
  for (const ConfigKey& key : config_keys()) {
    if (!letters_done && !key.path.starts_with("model.")) {
      list_letters(config.model.mixers, out);
      list_letters(config.model.channels, out);
      letters_done = true;
    }
    out.emplace_back(key.path, to_text(key.get(config)));
  }
  return out;
}

std::string to_yaml(const Config& config, bool with_origins) {
  std::string out;
  std::vector<std::string> open;  // the groups that the last line stands in
  for (const auto& [path, text] : list_values(config)) {
    std::vector<std::string> parts;
    for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
      end = path.find('.', begin);
      parts.push_back(path.substr(begin, end - begin));
    }
    size_t shared = 0;
    while (shared < open.size() && shared + 1 < parts.size() && open[shared] == parts[shared]) ++shared;
    open.assign(parts.begin(), parts.end() - 1);
    for (size_t i = shared; i + 1 < parts.size(); ++i) out += std::string(2 * i, ' ') + parts[i] + ":\n";
    std::string line = std::string(2 * open.size(), ' ') + parts.back() + ": " + text;
    if (with_origins) line = fmt::format("{:<48}  # {}", line, config.origin(path).str());
    out += line + "\n";
  }
  return out;
}

ConfigDifferences compare(const Config& checkpoint, const Config& now) {
  std::map<std::string, std::pair<std::string, std::string>> both;
  std::vector<std::string> order;
  const auto take = [&](const Config& config, auto member) {
    for (const auto& [key, text] : list_values(config)) {
      if (!both.contains(key)) order.push_back(key);
      both[key].*member = text;
    }
  };
  using Pair = std::pair<std::string, std::string>;
  take(checkpoint, &Pair::first);
  take(now, &Pair::second);
  ConfigDifferences differences;
  for (const std::string& key : order) {
    const auto& [old_text, text] = both[key];
    if (old_text == text) continue;
    const auto or_absent = [](const std::string& t) { return t.empty() ? std::string("absent") : t; };
    const std::string line = fmt::format("{}: {} in the checkpoint, {} now ({})", key, or_absent(old_text),
                                         or_absent(text), now.origin(key).str());
    (must_match(key, checkpoint, now) ? differences.refused : differences.changed).push_back(line);
  }
  return differences;
}

}  // namespace og

#include "framework/config/key_names.h"

#include <algorithm>
#include <cctype>

#include "framework/config/keys.h"
#include "framework/core/nearest.h"

namespace og {

namespace {

// What other projects call options of layers.
struct OptionElsewhere {
  const char* key;
  ConfigKey::Elsewhere elsewhere;
};

const std::vector<OptionElsewhere>& options_elsewhere() {
  static const std::vector<OptionElsewhere> all{
      {"model.mixers.<letter>.num_heads",
       {"n_head n_heads nhead heads num_attn_heads", "num_attention_heads of type attention"}},
      {"model.mixers.<letter>.num_key_value_heads", {"n_kv_heads n_kv_head num_kv_heads num_query_groups", ""}},
      {"model.mixers.<letter>.sliding_window", {"window window_size attention_window", ""}},
      {"model.channels.<letter>.intermediate_size", {"d_ff ffn_dim mlp_dim ffn_hidden_size d_inner n_inner", ""}},
      {"model.channels.<letter>.num_experts", {"n_experts n_routed_experts num_local_experts moe_num_experts", ""}},
      {"model.channels.<letter>.num_experts_per_tok", {"moe_top_k moe_topk moe_router_topk num_experts_per_token", ""}},
  };
  return all;
}

std::string last_of(const std::string& path) { return path.substr(path.rfind('.') + 1); }

std::string group_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

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

template <class Type>
bool any_has_option(std::span<const Type> types, const std::string& name) {
  return std::any_of(types.begin(), types.end(), [&](const Type& type) {
    return std::any_of(type.options.begin(), type.options.end(),
                       [&](const OptionSpec& option) { return option.name == name; });
  });
}

std::string plain(std::string name) {
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

bool holds(const ConfigKey::Elsewhere& elsewhere, const std::string& name) {
  return (" " + elsewhere.names + " ").find(" " + name + " ") != std::string::npos;
}

KeyGuess named_elsewhere(const std::string& name) {
  for (const ConfigKey& key : config_keys())
    for (const ConfigKey::Elsewhere& e : key.elsewhere)
      if (holds(e, name)) return {key.path, e.remark};
  for (const OptionElsewhere& option : options_elsewhere())
    if (holds(option.elsewhere, name)) return {option.key, option.elsewhere.remark};
  return {};
}

std::string nearest_key(const std::string& name) {
  std::vector<std::string> paths, names;
  for (const ConfigKey& key : config_keys()) paths.push_back(key.path), names.push_back(last_of(key.path));
  if (name.find('.') != std::string::npos) return nearest(name, paths);
  const std::string near = nearest(name, names);
  return near.empty() ? "" : paths[static_cast<size_t>(std::find(names.begin(), names.end(), near) - names.begin())];
}

}  // namespace

std::string path_in(const std::string& group, const std::string& name) {
  return group.empty() ? name : group + "." + name;
}
bool is_letter_group(const std::string& path) { return path == "model.mixers" || path == "model.channels"; }
bool is_letter(const std::string& path) { return is_letter_group(group_of(path)); }
bool is_group(const std::string& path) {
  return is_letter_group(path) || is_letter(path) || (!find_config_key(path) && !names_in(path).empty());
}

std::string KeyGuess::str() const {
  if (key.empty()) return "";
  return fmt::format("; did you mean {}?{}", key, remark.empty() ? "" : fmt::format(" ({})", remark));
}

KeyGuess guess_key(const std::string& name, bool misspelt) {
  const std::string path = plain(name), word = last_of(path);
  const bool of_layer = path.starts_with("model.mixers.") || path.starts_with("model.channels.");
  if (find_config_key(path) || of_layer) return {of_layer ? name : path, ""};
  for (const ConfigKey& key : config_keys())
    if (last_of(key.path) == word && word != "data") return {key.path, ""};  // data is a group first
  if (KeyGuess guess = named_elsewhere(word); !guess.key.empty()) return guess;
  return {misspelt ? nearest_key(path) : "", ""};
}

std::string suggestion(const std::string& group, const std::string& name, const ConfigRules& rules) {
  if (const KeyGuess guess = guess_key(name, false); !guess.key.empty()) return guess.str();
  if (any_has_option(rules.mixers, name)) return KeyGuess{"model.mixers.<letter>." + name, ""}.str();
  if (any_has_option(rules.channels, name)) return KeyGuess{"model.channels.<letter>." + name, ""}.str();
  const std::string near = nearest(name, names_in(group));
  return near.empty() ? guess_key(name, true).str() : KeyGuess{path_in(group, near), ""}.str();
}

std::string option_suggestion(const std::string& letter, const std::string& name,
                              const std::vector<std::string>& options) {
  std::string near = last_of(guess_key(name, false).key);
  if (std::find(options.begin(), options.end(), near) == options.end()) near = nearest(name, options);
  return near.empty() ? "" : KeyGuess{path_in(letter, near), ""}.str();
}

}  // namespace og

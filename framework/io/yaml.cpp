#include "framework/io/yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "framework/core/error.h"

namespace og {

namespace {

constexpr int kMaxDepth = 50;
constexpr int kMaxNodes = 100'000;  // an alias to a node that holds it grows without end

YamlNode convert(const YAML::Node& from, const std::string& where, int depth, int& num_nodes) {
  YamlNode node;
  node.line = from.Mark().line + 1;
  node.column = from.Mark().column + 1;
  if (depth > kMaxDepth)
    fail(Status::usage, "{}:{}:{}: nested deeper than {}", where, node.line, node.column, kMaxDepth);
  switch (from.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null:
      break;
    case YAML::NodeType::Scalar:
      node.kind = YamlNode::Kind::scalar;
      node.text = from.Scalar();
      node.quoted = from.Tag() == "!";
      break;
    case YAML::NodeType::Sequence:
      node.kind = YamlNode::Kind::sequence;
      for (const auto& item : from) node.items.push_back(convert(item, where, depth + 1, num_nodes));
      break;
    case YAML::NodeType::Map:
      node.kind = YamlNode::Kind::map;
      for (const auto& entry : from)
        node.entries.emplace_back(convert(entry.first, where, depth + 1, num_nodes),
                                  convert(entry.second, where, depth + 1, num_nodes));
      break;
  }
  return node;
}

// `<<: *base` and `<<: [*a, *b]`: the keys of those maps that this one lacks; of several maps, the first wins.
void merge(YamlNode& node, const std::string& where) {
  for (YamlNode& item : node.items) merge(item, where);
  std::vector<std::pair<YamlNode, YamlNode>> own, merged;
  for (auto& [key, value] : node.entries) {
    merge(value, where);
    if (key.text != "<<" || key.quoted) {
      own.emplace_back(std::move(key), std::move(value));
      continue;
    }
    std::vector<YamlNode> bases = std::move(value.items);
    if (value.kind != YamlNode::Kind::sequence) bases = {std::move(value)};
    for (YamlNode& base : bases) {
      if (base.kind != YamlNode::Kind::map)
        fail(Status::usage, "{}:{}:{}: <<: expected an alias of a group of keys (*name), or a list of them, found {}",
             where, key.line, key.column, base.describe());
      for (auto& entry : base.entries) merged.push_back(std::move(entry));
    }
  }
  for (auto& entry : merged) {
    const auto same = [&](const auto& other) { return other.first.text == entry.first.text; };
    // Of its own keys too: one that is given twice is the reader's to tell.
    if (std::none_of(own.begin(), own.end(), same)) own.push_back(std::move(entry));
  }
  node.entries = std::move(own);
}

// The text's one document. yaml-cpp's own Load drops what comes after it: a second document, the .txt of [a,b].txt.
YAML::Node load_one(const std::string& text, const std::string& where) {
  const std::vector<YAML::Node> all = YAML::LoadAll(text);
  for (size_t i = 1; i < all.size(); ++i)
    if (!all[i].IsNull())
      fail(Status::usage, "{}:{}:{}: a second document begins here; a file holds one", where, all[i].Mark().line + 1,
           all[i].Mark().column + 1);
  return all.empty() ? YAML::Node() : all[0];
}

// yaml-cpp tells of a tab by what it then misreads: the first line up to there that is indented with one, or 0.
int line_with_tab(const std::string& text, int last_line) {
  int line = 1;
  for (size_t begin = 0; begin < text.size() && line <= last_line; ++line) {
    const size_t first = text.find_first_not_of(' ', begin);
    if (first != std::string::npos && text[first] == '\t') return line;
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    begin = end + 1;
  }
  return 0;
}

}  // namespace

std::string YamlNode::describe() const {
  switch (kind) {
    case Kind::null:
      return "nothing";
    case Kind::scalar:
      return quoted ? fmt::format("the text \"{}\"", text) : text;
    case Kind::sequence:
      return "a list";
    case Kind::map:
      return "a group of keys";
  }
  return "?";
}

YamlNode parse_yaml(const std::string& text, const std::string& where) {
  try {
    int num_nodes = 0;
    YamlNode root = convert(load_one(text, where), where, 0, num_nodes);
    merge(root, where);
    return root;
  } catch (const YAML::Exception& e) {
    if (const int line = line_with_tab(text, e.mark.line + 1); line > 0)
      fail(Status::usage, "{}:{}:1: not YAML: the line is indented with a tab; YAML takes spaces only", where, line);
    fail(Status::usage, "{}:{}:{}: not YAML: {}; a text with any of , : # [ ] {{ }} stands in quotes", where,
         e.mark.line + 1, e.mark.column + 1, e.msg);
  }
}

std::string yaml_string(std::string_view s) {
  const auto plain_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == '/' || c == '+';
  };
  bool plain = !s.empty() && ((s[0] >= 'a' && s[0] <= 'z') || (s[0] >= 'A' && s[0] <= 'Z') || s[0] == '/');
  for (size_t i = 0; i < s.size() && plain; ++i)
    plain = plain_character(s[i]) || (s[i] == ':' && i + 1 < s.size() && s[i + 1] != ' ');
  for (const char* word :
       {"null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE", "y",   "Y",   "n",  "N",
        "yes",  "Yes",  "YES",  "no",   "No",   "NO",   "on",    "On",    "ON",    "off", "Off", "OFF"})
    plain = plain && s != word;
  if (plain) return std::string(s);
  std::string out = "\"";
  for (char c : s) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      (out += '\\') += c;
    else if (byte < 0x20)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out + '"';
}

}  // namespace og

#include "framework/io/yaml.h"

#include <yaml-cpp/yaml.h>

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
    return convert(YAML::Load(text), where, 0, num_nodes);
  } catch (const YAML::Exception& e) {
    fail(Status::usage, "{}:{}:{}: not YAML: {}", where, e.mark.line + 1, e.mark.column + 1, e.msg);
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

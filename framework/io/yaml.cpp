#include "framework/io/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>

#include "framework/core/error.h"
#include "framework/io/file.h"

namespace og {

namespace {

constexpr int kMaxDepth = 50;
constexpr int kMaxNodes = 100'000;             // after aliases are written out: each stands for all that its node holds
constexpr size_t kMaxText = size_t{16} << 20;  // bytes of the text, and of all scalars after aliases are written out

void check_depth(const std::string& where, int line, int depth) {
  if (depth > kMaxDepth) fail(Status::usage, "{}:{}: nested deeper than {}", where, line, kMaxDepth);
}

// Counts what stands in the text before a tree of it is built: yaml-cpp takes some 500 bytes for each value.
class Bounds final : public YAML::EventHandler {
 public:
  explicit Bounds(const std::string& where) : where_(where) {}
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { count(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { count(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t, const std::string&) override {
    count(mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark);
  }
  void OnSequenceEnd() override { --depth_; }
  void OnMapEnd() override { --depth_; }

 private:
  void count(const YAML::Mark& mark) {
    if (++num_nodes_ > kMaxNodes)
      fail(Status::usage, "{}:{}: more than {} values. Is it data?", where_, mark.line + 1, kMaxNodes);
  }
  void open(const YAML::Mark& mark) {
    count(mark);
    check_depth(where_, mark.line + 1, ++depth_);
  }
  const std::string& where_;
  int num_nodes_ = 0, depth_ = 0;
};

void check_size(const std::string& where, size_t bytes) {
  if (bytes > kMaxText)
    fail(Status::usage, "{}: {} bytes, a YAML file has at most {}. Is it data?", where, bytes, kMaxText);
}

class Converter {
 public:
  explicit Converter(const std::string& where) : where_(where) {}

  YamlNode convert(const YAML::Node& from, int depth) {
    YamlNode node;
    node.line = from.Mark().line + 1;
    node.column = from.Mark().column + 1;
    // What an alias repeats has the place of its first writing; the alias itself stands where the text had come to.
    line_ = std::max(line_, node.line);
    check_depth(where_, line_, depth);
    if (++num_nodes_ > kMaxNodes)
      fail(Status::usage,
           "{}:{}: more than {} values with all aliases (*name) written out. Write what is needed without them", where_,
           line_, kMaxNodes);
    switch (from.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        break;
      case YAML::NodeType::Scalar:
        text_ += from.Scalar().size();
        if (text_ > kMaxText)
          fail(Status::usage, "{}:{}: more than {} bytes of text with all aliases (*name) written out", where_, line_,
               kMaxText);
        node.kind = YamlNode::Kind::scalar;
        node.text = from.Scalar();
        node.quoted = from.Tag() == "!";
        break;
      case YAML::NodeType::Sequence:
        node.kind = YamlNode::Kind::sequence;
        for (const auto& item : from) node.items.push_back(convert(item, depth + 1));
        break;
      case YAML::NodeType::Map:
        node.kind = YamlNode::Kind::map;
        for (const auto& entry : from) {
          YamlNode key = convert(entry.first, depth + 1);
          node.entries.emplace_back(std::move(key), convert(entry.second, depth + 1));
        }
        break;
    }
    return node;
  }

 private:
  const std::string& where_;
  int line_ = 1, num_nodes_ = 0;
  size_t text_ = 0;
};

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
    // The map's own keys win. One that is given twice stays twice: the reader refuses it.
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

YamlNode read_yaml(const std::string& path) {
  const MappedFile file(path);
  check_size(path, file.bytes().size());  // before it is copied
  return parse_yaml({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path);
}

YamlNode parse_yaml(const std::string& text, const std::string& where) {
  check_size(where, text.size());
  try {
    Bounds bounds(where);
    std::istringstream stream(text);
    for (YAML::Parser parser(stream); parser.HandleNextDocument(bounds);) {
    }
    YamlNode root = Converter(where).convert(load_one(text, where), 0);
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

// YAML text as a tree of nodes that know where they stand. Scalars stay text: what a scalar means is the reader's
// choice. Keys may repeat; the reader decides. Aliases and merge keys (`<<: *base`) are resolved. Plain values.
// yaml-cpp is behind yaml.cpp alone.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace og {

struct YamlNode {
  enum class Kind { null, scalar, sequence, map };
  Kind kind = Kind::null;
  std::string text;          // set for scalars
  bool quoted = false;       // 'x' or "x": a string whatever it looks like
  int line = 0, column = 0;  // where the first character stands, from 1
  std::vector<YamlNode> items;
  std::vector<std::pair<YamlNode, YamlNode>> entries;

  std::string describe() const;  // for messages: "the text eight", "a list", "nothing"
};

// Error(Status::usage) "<where>:<line>:<column>: ..." if it is not YAML, or has more values, text or depth than a
// config can need once aliases are written out: found before memory is taken for them. Empty text: null.
YamlNode parse_yaml(const std::string& text, const std::string& where);
// The same of a file.
YamlNode read_yaml(const std::string& path);

// The scalar that reads back as this string: plain where that is safe, else in double quotes.
std::string yaml_string(std::string_view s);

}  // namespace og

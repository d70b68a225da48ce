// The tables of configs/README.md against the rows that they are made of: the keys of framework/config/keys.cpp and the
// options of the layer types. ONEGATHER_WRITE=1 build/key_table_test writes them.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "framework/config/keys.h"
#include "tests/files.h"

namespace og {
namespace {

// What may be given, as a cell of a table.
std::string values_of(const ValueRule& rule) {
  std::string text = expected(rule);
  for (const char* article : {"a ", "one of "})
    if (text.starts_with(article)) text.erase(0, std::string(article).size());
  if (!rule.planned.empty()) text += fmt::format(" (not built yet: {})", fmt::join(rule.planned, ", "));
  return text;
}

std::string key_table() {
  std::string table = "| key | default | values | meaning |\n|---|---|---|---|\n";
  const Config built_in;
  for (const ConfigKey& key : config_keys())
    table += fmt::format("| `{}` | {} | {} | {} |\n", key.path,
                         key.shown_default.empty() ? to_text(key.get(built_in)) : key.shown_default,
                         values_of(key.rule), key.meaning);
  return table;
}

// One row for types that declare the option alike.
template <class Type>
std::string option_table(std::span<const Type> types) {
  struct Row {
    std::string option, rest, types;
  };
  std::vector<Row> rows;
  for (const Type& type : types)
    for (const OptionSpec& option : type.options) {
      const std::string rest = fmt::format("{} | {} | {}", option.required ? "required" : to_text(option.fallback),
                                           values_of(rule_of(option)), option.help);
      auto row = std::find_if(rows.begin(), rows.end(),
                              [&](const Row& r) { return r.option == option.name && r.rest == rest; });
      if (row == rows.end()) {  // behind those of the same name
        const auto last =
            std::find_if(rows.rbegin(), rows.rend(), [&](const Row& r) { return r.option == option.name; });
        row = rows.insert(last == rows.rend() ? rows.end() : last.base(), {option.name, rest, ""});
      }
      row->types += (row->types.empty() ? "" : ", ") + type.name;
    }
  std::string table = "| option | of type | default | values | meaning |\n|---|---|---|---|---|\n";
  for (const Row& r : rows) table += fmt::format("| `{}` | {} | {} |\n", r.option, r.types, r.rest);
  return table;
}

// The document with another text between the lines that mark a table.
std::string with_table(const std::string& document, const std::string& name, const std::string& table) {
  const std::string begin = fmt::format("<!-- {}: written by key_table_test -->\n\n", name), end = "\n<!-- end -->";
  const size_t from = document.find(begin);
  const size_t to = from == std::string::npos ? from : document.find(end, from);
  EXPECT_NE(to, std::string::npos) << "no table of " << name;
  if (to == std::string::npos) return document;
  return document.substr(0, from + begin.size()) + table + document.substr(to);
}

TEST(key_table, the_document_says_what_the_rows_say) {
  const std::string path = OG_SOURCE_DIR "/configs/README.md";
  const std::string found = file_bytes(path);
  std::string wanted = with_table(found, "keys", key_table());
  wanted = with_table(wanted, "options of mixers", option_table(mixer_types()));
  wanted = with_table(wanted, "options of channel parts", option_table(channel_types()));
  if (std::getenv("ONEGATHER_WRITE")) return write_file(path, wanted);
  EXPECT_EQ(found, wanted) << path << " differs from the rows; ONEGATHER_WRITE=1 build/key_table_test writes it";
}

TEST(key_table, every_row_has_a_meaning_and_names_of_its_own) {
  std::set<std::string> names;
  for (const ConfigKey& key : config_keys()) {
    EXPECT_FALSE(key.meaning.empty()) << key.path;
    for (const ConfigKey::Elsewhere& elsewhere : key.elsewhere) {
      std::istringstream in(elsewhere.names);
      for (std::string name; in >> name;)
        EXPECT_TRUE(names.insert(name).second) << key.path << " and another: " << name;
    }
    // A field that takes its own value back.
    Config config;
    const ConfigValue before = key.get(config);
    key.set(config, before);
    EXPECT_EQ(to_text(key.get(config)), to_text(before)) << key.path;
  }
}

}  // namespace
}  // namespace og

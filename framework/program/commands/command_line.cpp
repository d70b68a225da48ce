#include "framework/program/commands/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <set>

#include "framework/config/key_names.h"
#include "framework/core/error.h"
#include "framework/core/nearest.h"
#include "framework/core/number.h"
#include "framework/core/text.h"

namespace og {

namespace {

// A name of a file that is there stays whole, whatever is in it.
std::vector<std::string> split_at_commas(const std::vector<std::string>& words) {
  std::vector<std::string> parts;
  for (const std::string& word : words) {
    std::error_code error;
    const bool whole = std::filesystem::exists(word, error);
    for (size_t begin = 0; begin <= word.size();) {
      const size_t end = whole ? word.size() : std::min(word.find(',', begin), word.size());
      if (end > begin) parts.push_back(word.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return parts;
}

}  // namespace

struct CommandLine::Parser {
  CLI::App app;
  bool allows_unknown = false, takes_keys = false;
  std::vector<std::vector<std::string>*> lists;  // options whose values have commas between

  Parser(const std::string& name, const std::string& description) : app(description, name) {}

  // CLI11's own numbers take nan and 010 for 8, and its ranges are printed with 309 digits.
  template <class T>
  void add_number(const char* name, T& value, const char* help, Bound bound) {
    NumberRule rule{.whole = std::is_integral_v<T>};
    if (std::is_same_v<T, int>) rule.most = std::numeric_limits<int>::max();
    if (bound != Bound::any || std::is_unsigned_v<T>) rule.least = 0;
    if (bound == Bound::positive && rule.whole) rule.least = 1;
    if (bound == Bound::positive && !rule.whole) rule.above = true;
    if (bound == Bound::probability) rule.most = 1;
    const auto read = [&value, rule, name](const std::string& text) {
      if (!parse_number(text, rule, value)) throw CLI::ValidationError(name, number_problem(text, rule));
    };
    CLI::Option* option = app.add_option_function<std::string>(name, read, help);
    option->type_name(rule.whole ? "INT" : "FLOAT");
    if (value != T{}) option->default_str(fmt::format("{}", value));
  }

  CLI::Option* find(const std::string& name) { return app.get_option_no_throw(name); }
  [[noreturn]] void refuse_option(const std::string& name, const std::string& value);
  std::vector<std::string> checked(const std::vector<std::string>& args);
};

// An option that nobody added: a config key, or a misspelt one.
void CommandLine::Parser::refuse_option(const std::string& name, const std::string& value) {
  std::vector<std::string> options;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& known : option->get_lnames()) options.push_back("--" + known);
  std::string hint;
  if (takes_keys) {
    const KeyGuess guess = guess_key(name.substr(2), name.find('.') != std::string::npos);
    if (!guess.key.empty())
      hint = fmt::format("; config keys have no dashes: write {}={}{}", guess.key, value.empty() ? "VALUE" : value,
                         guess.remark.empty() ? "" : fmt::format(" ({})", guess.remark));
  }
  if (hint.empty()) hint = did_you_mean(name, options);
  fail(Status::usage, "{}: unknown option {}{}", app.get_name(), name, hint);
}

// The arguments as CLI11 is to see them. It would take an unknown option for a positional argument and an option for
// the value of the one before it, and has no empty values.
std::vector<std::string> CommandLine::Parser::checked(const std::vector<std::string>& args) {
  std::vector<std::string> out;
  std::set<std::string> given;
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--") {
      out.insert(out.end(), args.begin() + static_cast<std::ptrdiff_t>(i), args.end());
      break;
    }
    const size_t equals = args[i].find('=');
    const std::string name = args[i].substr(0, equals);
    if (!name.starts_with("--")) {
      out.push_back(args[i]);
      continue;
    }
    const CLI::Option* option = find(name);
    if (!option) {
      const bool value_follows = equals == std::string::npos && i + 1 < args.size() && !args[i + 1].starts_with("--");
      if (!allows_unknown)
        refuse_option(name, equals != std::string::npos ? args[i].substr(equals + 1)
                            : value_follows             ? args[i + 1]
                                                        : "");
      out.push_back(args[i]);
      continue;
    }
    const bool takes_value = option->get_items_expected_min() > 0, takes_many = option->get_items_expected_max() > 1;
    if (!takes_many && !given.insert(name).second) fail(Status::usage, "{}: {} is given twice", app.get_name(), name);
    if (!takes_value || (equals != std::string::npos && equals + 1 < args[i].size())) {
      out.push_back(args[i]);
      continue;
    }
    out.push_back(name);
    if (equals != std::string::npos) {
      out.emplace_back();
      continue;
    }
    if (i + 1 == args.size())
      fail(Status::usage, "{}: expected a value after {}: {}={}", app.get_name(), name, name, option->get_type_name());
    if (args[i + 1].starts_with("--"))
      fail(Status::usage, "{}: expected a value after {}, found {}; a value that begins with dashes: {}={}",
           app.get_name(), name, args[i + 1], name,
           args[i + 1].find(' ') == std::string::npos ? args[i + 1] : "'" + args[i + 1] + "'");
    out.push_back(args[++i]);
  }
  return out;
}

CommandLine::CommandLine(const std::string& name, const std::string& description)
    : parser_(std::make_unique<Parser>(name, description)) {}
CommandLine::~CommandLine() = default;

void CommandLine::add(const char* name, std::string& value, const char* help, Need need) {
  CLI::Option* option = parser_->app.add_option(name, value, help);
  option->required(need == Need::required);
  if (!value.empty()) option->capture_default_str();
}

void CommandLine::add(const char* name, int& value, const char* help, Bound bound) {
  parser_->add_number(name, value, help, bound);
}

void CommandLine::add(const char* name, int64_t& value, const char* help, Bound bound) {
  parser_->add_number(name, value, help, bound);
}

void CommandLine::add(const char* name, uint64_t& value, const char* help) {
  parser_->add_number(name, value, help, Bound::any);
}

void CommandLine::add(const char* name, double& value, const char* help, Bound bound) {
  parser_->add_number(name, value, help, bound);
}

void CommandLine::add(const char* name, std::vector<std::string>& values, const char* help, Need need) {
  std::string text = help;
  parser_->takes_keys |= std::string_view(name) == "key=value";
  if (std::string_view(name) == "key=value")
    text += "; a text with any of , : # [ ] { } stands in quotes: 'data.train=[\"a,b.txt\"]'";
  parser_->app.add_option(name, values, text)->required(need == Need::required);
  if (name[0] == '-') parser_->lists.push_back(&values);
}

void CommandLine::add_flag(const char* name, bool& value, const char* help) {
  parser_->app.add_flag(name, value, help);
}

void CommandLine::allow_unknown() {
  parser_->allows_unknown = true;
  parser_->app.allow_extras();
}

bool CommandLine::parse(const std::vector<std::string>& args) {
  CLI::App& app = parser_->app;
  const std::vector<std::string> words = parser_->checked(args);
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    std::fputs(wrapped(app.help()).c_str(), stdout);
    return false;
  } catch (const CLI::ParseError& e) {
    fail(Status::usage, "{}: {}\nSee {} --help", app.get_name(), e.what(), app.get_name());
  }
  for (std::vector<std::string>* list : parser_->lists) *list = split_at_commas(*list);
  return true;
}

std::vector<std::string> CommandLine::unknown() const { return parser_->app.remaining(); }

}  // namespace og

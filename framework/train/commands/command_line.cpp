#include "framework/train/commands/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>

#include "framework/core/error.h"
#include "framework/core/nearest.h"

namespace og {

struct CommandLine::Parser {
  CLI::App app;
  bool allows_unknown = false;

  Parser(const std::string& name, const std::string& description) : app(description, name) {}

  template <class T>
  void add_number(const char* name, T& value, const char* help, Bound bound) {
    CLI::Option* option = app.add_option(name, value, help);
    if (bound == Bound::positive) option->check(CLI::PositiveNumber);
    if (bound == Bound::not_negative) option->check(CLI::NonNegativeNumber);
    if (bound == Bound::probability) option->check(CLI::Range(0.0, 1.0));
    if (value != T{}) option->capture_default_str();
  }
};

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
  CLI::Option* option = parser_->app.add_option(name, values, help)->required(need == Need::required);
  if (name[0] == '-') option->delimiter(',');
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
  std::vector<std::string> options;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  // CLI11 would take an unknown option for a positional argument.
  for (const std::string& arg : args) {
    const std::string name = arg.substr(0, arg.find('='));
    if (!name.starts_with("--") || name == "--" || parser_->allows_unknown) continue;
    if (std::find(options.begin(), options.end(), name) == options.end())
      fail(Status::usage, "{}: unknown option {}{}", app.get_name(), name, did_you_mean(name, options));
  }
  std::vector<std::string> reversed(args.rbegin(), args.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return false;
  } catch (const CLI::ParseError& e) {
    fail(Status::usage, "{}: {}\nSee {} --help", app.get_name(), e.what(), app.get_name());
  }
  return true;
}

std::vector<std::string> CommandLine::unknown() const { return parser_->app.remaining(); }

}  // namespace og

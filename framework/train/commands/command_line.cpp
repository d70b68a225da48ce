#include "framework/train/commands/command_line.h"

#include <cstdio>

#include "framework/core/error.h"
#include "framework/core/nearest.h"

namespace og {

bool parse_command_line(CLI::App& app, const std::vector<std::string>& args) {
  std::vector<std::string> options;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  // CLI11 would take an unknown option for a positional argument.
  for (const std::string& arg : args) {
    const std::string name = arg.substr(0, arg.find('='));
    if (!name.starts_with("--") || name == "--") continue;
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

}  // namespace og

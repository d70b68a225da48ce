// The subcommands of `onegather`, one file each in this folder.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace og {

struct Command {
  const char* name;
  const char* help;                                  // one line
  int (*run)(const std::vector<std::string>& args);  // what follows the name; returns the exit status. Null: not built
};

std::span<const Command> commands();

}  // namespace og

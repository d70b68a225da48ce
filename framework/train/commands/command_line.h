// Parsing of a subcommand's arguments. CLI11 is behind this and the commands' own files.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <string>
#include <vector>

namespace og {

// False: help was asked for and printed. A mistake: Error(Status::usage) that names the argument.
bool parse_command_line(CLI::App& app, const std::vector<std::string>& args);

}  // namespace og

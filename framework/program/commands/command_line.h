// The command line of a subcommand: positional arguments, --options, flags, --help. CLI11 does the work, in
// command_line.cpp and nowhere else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace og {

enum class Need : uint8_t { optional, required };
enum class Bound : uint8_t { any, positive, not_negative, probability };

class CommandLine {
 public:
  // name: "onegather eval", for messages and --help.
  CommandLine(const std::string& name, const std::string& description);
  ~CommandLine();

  // "--tokens" is an option, "CONFIG" a positional argument. The variable must outlive parse(); what it holds is the
  // default, which --help shows unless it is empty or 0.
  void add(const char* name, std::string& value, const char* help, Need need = Need::optional);
  void add(const char* name, int& value, const char* help, Bound bound = Bound::any);
  void add(const char* name, int64_t& value, const char* help, Bound bound = Bound::any);
  void add(const char* name, uint64_t& value, const char* help);
  void add(const char* name, double& value, const char* help, Bound bound = Bound::any);
  void add(const char* name, std::vector<std::string>& values, const char* help, Need need = Need::optional);
  void add_flag(const char* name, bool& value, const char* help);
  // Options that nobody added are no mistake: unknown() has them, and what follows them.
  void allow_unknown();

  // False: help was asked for and printed. A mistake: Error(Status::usage) that names the argument and the nearest
  // option.
  bool parse(const std::vector<std::string>& args);
  std::vector<std::string> unknown() const;

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace og

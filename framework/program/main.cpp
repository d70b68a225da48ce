// The program: finds the subcommand, turns what it throws into a message and an exit status.
#include <cstdio>
#include <exception>

#include "commit.h"
#include "framework/core/build.h"
#include "framework/core/error.h"
#include "framework/core/memory_margin.h"
#include "framework/core/nearest.h"
#include "framework/core/threads.h"
#include "framework/program/commands/commands.h"
#include "framework/program/world.h"

namespace og {
namespace {

std::string help() {
  std::string text =
      "usage: onegather COMMAND ...         its options: onegather COMMAND --help\n"
      "       onegather --version | --help\n\n";
  for (const Command& c : commands())
    text += fmt::format("  {:<9} {}{}\n", c.name, c.help, c.run ? "" : " (not built yet)");
  return text + R"(
The same line runs alone, under mpirun -np N and under srun. launch/mpirun.sh
starts ranks here or on several hosts: launch/mpirun.sh CONFIG ... trains, and
launch/mpirun.sh bench|eval|generate|plan|data ... is that command.

Exit status: 0 done, 1 internal error, 2 wrong usage or config, 3 data or
checkpoint refused, 4 numbers went bad, 5 a rank failed, 130 interrupted.
)";
}

int run(const std::vector<std::string>& args) {
  if (args.empty()) fail(Status::usage, "expected a command\n\n{}", help());
  const std::string& name = args[0];
  if (name == "--help" || name == "-h" || name == "help") {
    std::fputs(help().c_str(), stdout);
    return 0;
  }
  if (name == "--version") {
    std::printf("onegather %s\nbuilt with %s\n", OG_COMMIT, OG_BACK_ENDS);
    return 0;
  }
  std::vector<std::string> names{"--help", "--version"};
  for (const Command& c : commands()) {
    names.push_back(c.name);
    if (name != c.name) continue;
    if (!c.run) fail(Status::usage, "{}: not built yet; see onegather --help for the commands that are", name);
    return c.run({args.begin() + 1, args.end()});
  }
  fail(Status::usage, "unknown command {}{} (onegather --help lists them)", name, did_you_mean(name, names));
}

}  // namespace
}  // namespace og

int main(int argc, char** argv) {
  og::restart_with_bounded_spinning(argv);
  og::take_stack();
  og::set_build(OG_COMMIT " " OG_BACK_ENDS);
  try {
    return og::run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    return og::report_failure(e);
  }
}

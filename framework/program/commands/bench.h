// `onegather bench step|op|comm|sequence`: measured tables and JSON.
#pragma once

#include <string>
#include <vector>

namespace og {

// args: what follows the word bench. Returns the exit status; a user's mistake is an Error.
int bench_command(const std::vector<std::string>& args);

}  // namespace og

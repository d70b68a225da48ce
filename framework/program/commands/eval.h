// `onegather eval CHECKPOINT --data FILES [--length N] [key=value ...]`.
#pragma once

#include <string>
#include <vector>

namespace og {

// args: what follows the word eval. Returns the exit status; a user's mistake is an Error.
int eval_command(const std::vector<std::string>& args);

}  // namespace og

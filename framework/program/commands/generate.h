// `onegather generate CHECKPOINT --prompt TEXT [--tokens N] [--temperature T] [--top-k K] [--top-p P] [--seed S]`.
#pragma once

#include <string>
#include <vector>

namespace og {

// args: what follows the word generate. Returns the exit status; a user's mistake is an Error.
int generate_command(const std::vector<std::string>& args);

}  // namespace og

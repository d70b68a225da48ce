// `onegather train CONFIG [key=value ...] [--dry-run] [--resume auto|never|PATH] [--init PATH]`.
#pragma once

#include <string>
#include <vector>

namespace og {

// args: what follows the word train. Returns the exit status; a user's mistake is an Error.
int train_command(const std::vector<std::string>& args);

}  // namespace og

// `onegather mixer NAME --input X.safetensors --output Y.safetensors`: one sequence mixer on tensors from a file.
#pragma once

#include <string>
#include <vector>

namespace og {

// args: what follows the word mixer. Returns the exit status; a user's mistake is an Error.
int mixer_command(const std::vector<std::string>& args);

}  // namespace og

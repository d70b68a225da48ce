// `onegather inspect PATH`: what a checkpoint, run folder, token file or tensor file holds; every checksum is verified.
#pragma once

#include <string>
#include <vector>

namespace og {

// args: what follows the word inspect. Returns the exit status; a user's mistake or a damaged file is an Error.
int inspect_command(const std::vector<std::string>& args);

}  // namespace og

// `onegather data prepare|inspect`: token files from text, tokenizer training, documents as they are read.
#pragma once

#include <string>
#include <vector>

namespace og {

// args: what follows the word data. Returns the exit status; a user's mistake is an Error.
int data_command(const std::vector<std::string>& args);

}  // namespace og

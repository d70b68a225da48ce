// `onegather doctor`: devices, libraries, measured rates, what is missing and how to get it.
#pragma once

#include <string>
#include <vector>

namespace og {

// args: what follows the word doctor. Returns the exit status; a user's mistake is an Error.
int doctor_command(const std::vector<std::string>& args);

}  // namespace og

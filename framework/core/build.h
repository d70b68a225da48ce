// What was built: commit and back ends. The program says it once at its start; ranks compare it before anything else,
// and results are kept with it.
#pragma once

#include <string>

namespace og {

void set_build(std::string build);
const std::string& build();

}  // namespace og

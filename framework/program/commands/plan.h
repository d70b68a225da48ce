// `onegather plan CONFIG --cluster FILE`.
#pragma once

#include <string>
#include <vector>

namespace og {

int plan_command(const std::vector<std::string>& args);

}  // namespace og

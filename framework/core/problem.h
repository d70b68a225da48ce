// Problem: a sentence that says what is wrong with what a user gave. A function that checks returns
// std::optional<Problem>; without a value nothing is wrong.
#pragma once

#include <optional>
#include <string>

namespace og {

struct Problem {
  std::string text;
};

}  // namespace og

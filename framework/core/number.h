// Numbers as users write them, in a file or on the command line: one reading, and one sentence when it is none.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace og {

struct NumberRule {
  bool whole = false;
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool above = false;  // least itself is too little

  // " from 0 to 1", " >= 1", " > 0", "": any. Bounds that nobody meets are said only to who has met them.
  std::string range(bool all = false) const;
};

// Whether all of the text is such a number; `out` is set only then. NaN and infinity never are.
template <class T>  // int, int64_t, uint64_t, double
bool parse_number(std::string_view text, const NumberRule& rule, T& out);

// What would be read in the text's place: "; write 100" for 1e2, or "".
std::string number_hint(std::string_view text, const NumberRule& rule);

// "expected a whole number >= 1, found 1e2; write 100"
std::string number_problem(std::string_view text, const NumberRule& rule);

// "1 row", "8 rows"
std::string counted(int64_t n, const char* noun);

// A text of a message, cut where it is long.
std::string shortened(std::string_view text);

}  // namespace og

// What people read: quantities with three or four digits and a unit in which they are seen, lines that fit a terminal.
#pragma once

#include <string>

namespace og {

// NaN without its sign, which fmt would print and which says nothing; any other number as it is.
double printable(double x);

std::string human_count(double n);    // 12.3K, 4.5M
std::string human_rate(double n);     // 4.27 GFLOP/s
std::string human_bytes(double n);    // 1.2 GiB
std::string human_time(double s);     // what something takes: 0, 2.4 us, 13.5 ms, 1.25 s, 2160 s
std::string human_seconds(double s);  // what is left, as a clock shows it: 1:02:03, 2:03

// Lines of more than `width` characters are broken at blanks. What follows is indented as far as the last column of the
// line, which two blanks or more stand before: "  --option TEXT    its help".
std::string wrapped(const std::string& text, size_t width = 80);

}  // namespace og

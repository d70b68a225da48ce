#include "framework/core/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <utility>

namespace og {

namespace {

std::string scaled(double n, double base, std::initializer_list<const char*> units) {
  auto unit = units.begin();
  while (n >= base && unit + 1 != units.end()) {
    n /= base;
    ++unit;
  }
  return fmt::format("{:.{}f}{}", n,
                     n < 10 && unit != units.begin()    ? 2
                     : n < 100 && unit != units.begin() ? 1
                                                        : 0,
                     *unit);
}

}  // namespace

double printable(double x) { return std::isnan(x) ? std::numeric_limits<double>::quiet_NaN() : x; }

std::string human_count(double n) { return scaled(n, 1000, {"", "K", "M", "B", "T"}); }
std::string human_rate(double n) { return scaled(n, 1000, {" ", " K", " M", " G", " T", " P"}) + "FLOP/s"; }
std::string human_bytes(double n) { return scaled(n, 1024, {" B", " KiB", " MiB", " GiB", " TiB"}); }

std::string human_time(double s) {
  if (s == 0) return "0";
  constexpr double kRounded = 999.5;  // what three digits write as 1000 belongs to the next unit
  for (const auto& [unit, scale] : {std::pair("ns", 1e9), std::pair("us", 1e6), std::pair("ms", 1e3)})
    if (std::abs(s) * scale < kRounded) return fmt::format("{:.3g} {}", s * scale, unit);
  return std::abs(s) < kRounded ? fmt::format("{:.3g} s", s) : fmt::format("{:.0f} s", s);
}

std::string human_seconds(double s) {
  const auto t = static_cast<int64_t>(std::max(0.0, s) + 0.5);
  if (t >= 3600) return fmt::format("{}:{:02}:{:02}", t / 3600, t / 60 % 60, t % 60);
  return fmt::format("{}:{:02}", t / 60, t % 60);
}

std::string wrapped(const std::string& text, size_t width) {
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    const size_t gap = line.rfind("  ", width / 2);
    const std::string indent(gap == std::string::npos ? 0 : gap + 2, ' ');
    while (line.size() > width) {
      const size_t at = line.rfind(' ', width);
      if (at == std::string::npos || at <= indent.size()) break;  // one long word
      out += line.substr(0, at) + "\n";
      line = indent + line.substr(at + 1);
    }
    out += line;
    if (end < text.size()) out += '\n';
    begin = end + 1;
  }
  return out;
}

}  // namespace og

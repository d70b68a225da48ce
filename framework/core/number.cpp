#include "framework/core/number.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace og {

namespace {

constexpr double kUnmet = 1e15;  // a bound that goes without saying

// from_chars knows no plus.
std::string_view without_plus(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  return text;
}

template <class T>
std::errc read_all(std::string_view text, T& out) {
  text = without_plus(text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return std::errc::invalid_argument;
  return error;
}

bool in_range(double x, const NumberRule& rule) {
  return std::isfinite(x) && (rule.above ? x > rule.least : x >= rule.least) && x <= rule.most;
}

// As few characters as say the same: 0.999999, 65536, 1e15.
std::string bound_text(double x) {
  std::string text = fmt::format("{:g}", x);
  double back = 0;
  if (read_all(text, back) != std::errc() || back != x) text = fmt::format("{}", x);
  if (const size_t e = text.find("e+"); e != std::string::npos)
    text = text.substr(0, e + 1) + text.substr(text.find_first_not_of('0', e + 2));
  return text;
}

// The text without what people put between digits: 1_000, 1,000, 1'000.
std::string without_separators(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool between = i > 0 && i + 1 < text.size() && std::isdigit(static_cast<unsigned char>(text[i - 1])) &&
                         std::isdigit(static_cast<unsigned char>(text[i + 1]));
    if (!between || (text[i] != '_' && text[i] != ',' && text[i] != '\'')) digits += text[i];
  }
  return digits;
}

std::string whole_hint(std::string_view text, const NumberRule& rule) {
  const auto write = [&](double x) -> std::string {
    const bool exact = std::nearbyint(x) == x && std::fabs(x) < 9e15 && in_range(x, rule);
    return exact ? fmt::format("{}", static_cast<int64_t>(x)) : "";
  };
  int64_t whole = 0;
  if (const std::errc error = read_all(text, whole); error == std::errc()) return "";
  double real = 0;
  const std::string digits = without_separators(text);
  if (read_all(digits, real) == std::errc()) {
    const std::string better = write(real);
    return better.empty() ? "" : "; write " + better;
  }
  if (text.starts_with("0x") &&
      std::from_chars(text.data() + 2, text.data() + text.size(), whole, 16).ptr == text.data() + text.size())
    return "; write " + write(static_cast<double>(whole));
  const size_t unit = text.empty() ? std::string::npos : std::string_view("kmgKMG").find(text.back());
  if (unit != std::string::npos && read_all(text.substr(0, text.size() - 1), real) == std::errc()) {
    const auto power = static_cast<int>(unit % 3) + 1;
    const std::string two = write(real * std::pow(1024.0, power)), ten = write(real * std::pow(1000.0, power));
    if (!two.empty() && !ten.empty()) return fmt::format("; write {} or {}", two, ten);
  }
  return "";
}

std::string real_hint(std::string_view text, const NumberRule& rule) {
  double x = 0;
  std::string better(text);
  if (better.ends_with('%') && read_all(text.substr(0, text.size() - 1), x) == std::errc() && in_range(x / 100, rule))
    return fmt::format("; write {}", x / 100);
  if (std::count(better.begin(), better.end(), ',') == 1) {
    std::replace(better.begin(), better.end(), ',', '.');
    if (read_all(better, x) == std::errc() && in_range(x, rule)) return "; write " + better;
  }
  return "";
}

}  // namespace

std::string NumberRule::range(bool all) const {
  const auto said = [&](double bound) { return std::fabs(bound) < (all ? 1e300 : kUnmet); };
  const bool low = said(least), high = said(most);
  if (low && high && !above) return fmt::format(" from {} to {}", bound_text(least), bound_text(most));
  std::string text;
  if (low) text = fmt::format(" {} {}", above ? ">" : ">=", bound_text(least));
  if (high) text += fmt::format("{} <= {}", low ? " and" : "", bound_text(most));
  return text;
}

template <class T>
bool parse_number(std::string_view text, const NumberRule& rule, T& out) {
  T x{};
  if (read_all(text, x) != std::errc() || !in_range(static_cast<double>(x), rule)) return false;
  out = x;
  return true;
}
template bool parse_number(std::string_view, const NumberRule&, int&);
template bool parse_number(std::string_view, const NumberRule&, int64_t&);
template bool parse_number(std::string_view, const NumberRule&, uint64_t&);
template bool parse_number(std::string_view, const NumberRule&, double&);

std::string number_hint(std::string_view text, const NumberRule& rule) {
  // More digits than any number here has: only the bound tells why.
  double x = 0;
  const std::errc error = read_all(text, x);
  const bool large = error == std::errc() ? x > rule.most : error == std::errc::result_out_of_range;
  if (large && error != std::errc() && text.find("e-") != std::string_view::npos) return "; write 0";
  if (large || (rule.whole && error == std::errc() && std::fabs(x) >= 0x1p63)) {
    if (rule.most < kUnmet) return "";  // the range says it
    const bool any_whole = rule.whole && rule.most >= 0x1p63;
    return std::string("; the most is ") + (any_whole                  ? "9223372036854775807"
                                            : std::isfinite(rule.most) ? bound_text(rule.most)
                                                                       : "1.79e308");
  }
  return rule.whole ? whole_hint(text, rule) : real_hint(text, rule);
}

std::string number_problem(std::string_view text, const NumberRule& rule) {
  return fmt::format("expected {}{}, found {}{}", rule.whole ? "a whole number" : "a number", rule.range(),
                     text.empty() ? "nothing" : shortened(text), number_hint(text, rule));
}

std::string counted(int64_t n, const char* noun) { return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s"); }

std::string shortened(std::string_view text) {
  constexpr size_t kMost = 60, kKept = 24;
  if (text.size() <= kMost) return std::string(text);
  return fmt::format("{}... ({} characters)", text.substr(0, kKept), text.size());
}

}  // namespace og

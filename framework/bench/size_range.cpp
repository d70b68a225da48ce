#include "framework/bench/size_range.h"

#include <algorithm>
#include <cctype>

#include "framework/core/error.h"

namespace og {

namespace {

int64_t parse_size(const std::string& option, const std::string& text, int64_t least) {
  constexpr int64_t kMost = int64_t{1} << 50;
  size_t i = 0;
  int64_t n = 0;
  while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0 && n < kMost)
    n = 10 * n + (text[i++] - '0');
  const bool digits = i > 0;
  if (i < text.size()) {
    const size_t unit = std::string("KMG").find(static_cast<char>(std::toupper(static_cast<unsigned char>(text[i]))));
    if (unit != std::string::npos && n < kMost) {
      n = static_cast<int64_t>(static_cast<uint64_t>(n) << (10 * (unit + 1)));
      ++i;
    }
  }
  if (!digits || i != text.size() || n < least || n > kMost)
    fail(Status::usage, "{}: expected whole numbers from {} with K, M or G (1024, 1024^2, 1024^3), found '{}'", option,
         least, text);
  return n;
}

}  // namespace

std::vector<std::string> parse_names(const std::string& option, const std::string& text) {
  std::vector<std::string> names;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    names.push_back(text.substr(begin, end - begin));
    if (names.back().empty()) fail(Status::usage, "{}: expected names with commas between, found '{}'", option, text);
    begin = end + 1;
  }
  return names;
}

std::vector<int64_t> parse_sizes(const std::string& option, const std::string& text, int64_t factor, int64_t least) {
  std::vector<int64_t> sizes;
  if (const size_t dots = text.find(".."); dots != std::string::npos) {
    const int64_t first = parse_size(option, text.substr(0, dots), least),
                  last = parse_size(option, text.substr(dots + 2), least);
    if (first > last)
      fail(Status::usage, "{}: {} is more than {}", option, text.substr(0, dots), text.substr(dots + 2));
    for (int64_t n = first; n < last; n *= factor) sizes.push_back(n);
    sizes.push_back(last);
    return sizes;
  }
  for (const std::string& part : parse_names(option, text)) sizes.push_back(parse_size(option, part, least));
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

std::string size_text(int64_t n) {
  return n >= 1024 && n % 1024 == 0 ? fmt::format("{}K", n / 1024) : fmt::format("{}", n);
}

}  // namespace og

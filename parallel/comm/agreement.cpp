#include "parallel/comm/agreement.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "framework/core/rng.h"

namespace og {

namespace {

std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

// "line 7: `a: 1` on rank 0, `a: 2` there"
std::string first_difference(std::string_view ours, std::string_view theirs) {
  for (int number = 1;; ++number) {
    const bool ended = ours.empty() || theirs.empty();
    const std::string our_line(take_line(ours)), their_line(take_line(theirs));
    if (our_line != their_line || ended)
      return fmt::format("line {}: `{}` on rank 0, `{}` there", number, our_line, their_line);
  }
}

}  // namespace

void check_agreement(Comm& world, const std::string& what, const std::string& text) {
  const Site site = Sites::startup;
  const auto hashes = world.gather(static_cast<int64_t>(random_key(std::size(text), text)), site);
  if (std::all_of(hashes.begin(), hashes.end(), [&](int64_t h) { return h == hashes[0]; })) return;
  const std::vector<std::string> texts = world.gather_text(text, site);
  std::map<std::string, std::vector<int>> differing;  // difference -> ranks
  for (size_t r = 1; r < texts.size(); ++r)
    if (texts[r] != texts[0]) differing[first_difference(texts[0], texts[r])].push_back(static_cast<int>(r));
  std::string message = fmt::format("{} is not the same on all ranks", what);
  for (const auto& [difference, ranks] : differing)
    message += fmt::format("; ranks {}: {}", list_of(ranks), difference);
  fail(Status::rank, "{}. Start the same program with the same files and arguments on every rank", message);
}

}  // namespace og

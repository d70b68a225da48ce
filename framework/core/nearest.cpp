#include "framework/core/nearest.h"

#include <algorithm>
#include <cctype>

namespace og {

int edit_distance(std::string_view a, std::string_view b) {
  // Rows of the table: for the prefixes of a that are two, one and no characters shorter.
  std::vector<int> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string>& choices) {
  const auto lower = [](std::string_view text) {
    std::string all(text);
    for (char& c : all) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return all;
  };
  const std::string meant = lower(word);
  std::string best;
  // One of three letters may be wrong, or two change places: with two wrong every short name is near every other.
  const int most = word.size() <= 3 ? 1 : std::max(2, static_cast<int>(word.size()) / 3);
  int least = most + 1;
  for (const std::string& choice : choices) {
    const std::string there = lower(choice);
    int distance = edit_distance(meant, there);
    // A beginning or a part of the right word is near however long the rest is.
    if (word.size() >= 3 && there.find(meant) != std::string::npos) distance = std::min(distance, most);
    if (distance < least && distance < static_cast<int>(choice.size())) {
      least = distance;
      best = choice;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& choices) {
  const std::string choice = nearest(word, choices);
  return choice.empty() ? "" : "; did you mean " + choice + "?";
}

}  // namespace og

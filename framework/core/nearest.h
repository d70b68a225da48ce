// Which of the valid words a misspelt one was meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace og {

// Edits (insert, remove, replace, swap of neighbours) that turn a into b.
int edit_distance(std::string_view a, std::string_view b);

// The choice with the fewest edits, small letters and capitals alike, if they are few for the word's length; else "".
std::string nearest(std::string_view word, const std::vector<std::string>& choices);

// "; did you mean x?", or "" if nothing is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& choices);

}  // namespace og

// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace og {

// Bytes of the character that begins at text[i]; 0: none does.
size_t character_at(std::string_view text, size_t i);

// The place of the first byte that belongs to no valid character, or -1.
int64_t first_bad_utf8(std::string_view text);

// Bytes of `text` before an unfinished character at its end, which later bytes may complete.
size_t whole_characters(std::string_view text);

// Each byte that belongs to no valid character becomes U+FFFD.
std::string repaired_utf8(std::string_view text);

}  // namespace og

#include "framework/core/utf8.h"

#include <algorithm>

namespace og {

namespace {

unsigned char byte_at(std::string_view s, size_t i) { return static_cast<unsigned char>(s[i]); }

// Length that a first byte announces; 0: no character begins with it.
size_t announced(unsigned char c) {
  if (c < 0x80) return 1;
  if (c < 0xC2) return 0;
  if (c < 0xE0) return 2;
  if (c < 0xF0) return 3;
  return c < 0xF5 ? 4 : 0;
}

// Whether the k-th byte (k > 0) may follow this first byte.
bool may_follow(unsigned char first, size_t k, unsigned char c) {
  if ((c & 0xC0) != 0x80) return false;
  if (k > 1) return true;
  if (first == 0xE0) return c >= 0xA0;  // overlong
  if (first == 0xED) return c < 0xA0;   // surrogate
  if (first == 0xF0) return c >= 0x90;  // overlong
  if (first == 0xF4) return c < 0x90;   // above U+10FFFF
  return true;
}

// Bytes from i on that fit one character, at most its length; 0: none begins here.
size_t fitting(std::string_view s, size_t i) {
  const unsigned char first = byte_at(s, i);
  const size_t length = std::min(announced(first), s.size() - i);
  for (size_t k = 1; k < length; ++k)
    if (!may_follow(first, k, byte_at(s, i + k))) return k;
  return length;
}

}  // namespace

size_t character_at(std::string_view text, size_t i) {
  const size_t fit = fitting(text, i);
  return fit == announced(byte_at(text, i)) ? fit : 0;
}

int64_t first_bad_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = character_at(text, i);
    if (length == 0) return static_cast<int64_t>(i);
    i += length;
  }
  return -1;
}

size_t whole_characters(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t i = text.size() - back;
    if (announced(byte_at(text, i)) > back && fitting(text, i) == back) return i;
  }
  return text.size();
}

std::string repaired_utf8(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = character_at(text, i);
    out += length > 0 ? text.substr(i, length) : "\xEF\xBF\xBD";
    i += std::max<size_t>(length, 1);
  }
  return out;
}

}  // namespace og

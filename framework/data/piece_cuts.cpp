#include "framework/data/piece_cuts.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

namespace og {

namespace {

constexpr uint32_t kSpace = ' ';
constexpr uint32_t kMeta = 0xE29681;  // U+2581, which stands for a space in pieces

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The character that begins at i, which text holds whole.
uint32_t character_at(std::string_view text, size_t i) {
  uint32_t c = static_cast<unsigned char>(text[i]);
  for (++i; i < text.size() && continues(text[i]); ++i) c = c << 8 | static_cast<unsigned char>(text[i]);
  return c;
}

uint32_t as_piece(uint32_t c) { return c == kSpace ? kMeta : c; }
uint64_t pair(uint32_t a, uint32_t b) { return uint64_t{as_piece(a)} << 32 | as_piece(b); }

std::vector<uint32_t> characters(std::string_view text) {
  std::vector<uint32_t> all;
  for (size_t i = 0; i < text.size(); ++i)
    if (i == 0 || !continues(text[i])) all.push_back(character_at(text, i));
  return all;
}

// The fields of a protocol buffer in their order: number, value of a varint, bytes of a string or message. The library
// exports no header for its model, whose few fields this reads have had their numbers since its first version.
void for_each_field(std::string_view message, const std::function<void(uint64_t, uint64_t, std::string_view)>& f) {
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0; at < message.size() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.size()) {
    const uint64_t key = varint(), kind = key & 7;
    if (kind == 0) {
      f(key >> 3, varint(), {});
      continue;
    }
    const uint64_t size = kind == 1 ? 8 : kind == 5 ? 4 : kind == 2 ? varint() : message.size();
    const std::string_view bytes = message.substr(at, std::min<uint64_t>(size, message.size() - at));
    f(key >> 3, 0, bytes);
    at += bytes.size();
  }
}

}  // namespace

PieceCuts::PieceCuts(std::string_view model) {
  std::string_view charsmap;
  for_each_field(model, [&](uint64_t field, uint64_t, std::string_view part) {
    if (field == 2)
      for_each_field(part, [&](uint64_t f, uint64_t value, std::string_view) {
        if (f == 3) model_type_ = value;
        if (f == 24) as_suffix_ = value != 0;
        if (f == 35) byte_fallback_ = value != 0;
      });
    if (field == 3)
      for_each_field(part, [&](uint64_t f, uint64_t value, std::string_view bytes) {
        if (f == 2) charsmap = bytes;
        if (f == 3) dummy_prefix_ = value != 0;
        if (f == 4) remove_spaces_ = value != 0;
        if (f == 5) escape_spaces_ = value != 0;
      });
  });
  constexpr uint64_t kWord = 3;
  if (model_type_ == kWord) problem_ = Problem{"its pieces are whole words"};
  if (dummy_prefix_ && as_suffix_) problem_ = Problem{"it puts a space after every text"};
  if (dummy_prefix_ && !escape_spaces_) problem_ = Problem{"it puts a plain space before every text"};
  if (problem_) return;
  read_pieces(model);
  if (raw_space_in_symbol_) problem_ = Problem{"one of its symbols holds a space"};
  if (!problem_ && !charsmap.empty()) read_rules(charsmap);
  if (!problem_ && dummy_prefix_ && (first_.contains(kSpace) || later_.contains(kSpace)))
    problem_ = Problem{"its rules rewrite spaces"};
}

void PieceCuts::read_pieces(std::string_view model) {
  constexpr uint64_t kNormal = 1, kSymbol = 4, kUnused = 5;
  for_each_field(model, [&](uint64_t field, uint64_t, std::string_view part) {
    if (field != 1) return;
    std::string_view text;
    uint64_t type = kNormal;
    for_each_field(part, [&](uint64_t f, uint64_t value, std::string_view bytes) {
      if (f == 1) text = bytes;
      if (f == 3) type = value;
    });
    if (type != kNormal && type != kSymbol && type != kUnused) return;  // never found in a text
    if (type == kSymbol && text.find(' ') != std::string_view::npos) raw_space_in_symbol_ = true;
    const std::vector<uint32_t> all = characters(text);
    if (all.size() == 1 && type != kUnused) known_.insert(as_piece(all[0]));
    for (size_t i = 1; i < all.size(); ++i) joined_.insert(pair(all[i - 1], all[i]));
  });
}

// The rules lie in a double-array trie (Darts-clone) of key bytes, whose leaves are places in a list of texts, each
// ended by a zero byte: u32 size of the trie, the trie, the texts.
void PieceCuts::read_rules(std::string_view charsmap) {
  uint32_t trie_bytes = 0;
  if (charsmap.size() >= sizeof trie_bytes) std::memcpy(&trie_bytes, charsmap.data(), sizeof trie_bytes);
  if (trie_bytes < 4 || trie_bytes % 4 != 0 || charsmap.size() < sizeof trie_bytes + trie_bytes) {
    problem_ = Problem{"its rules cannot be read"};
    return;
  }
  std::vector<uint32_t> units(trie_bytes / 4);
  std::memcpy(units.data(), charsmap.data() + sizeof trie_bytes, trie_bytes);
  const std::string_view texts = charsmap.substr(sizeof trie_bytes + trie_bytes);
  const auto children = [](uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); };
  struct Node {
    size_t at;  // its children: at ^ byte
    std::string key;
  };
  std::vector<Node> open{{children(units[0]), {}}};
  while (!open.empty()) {
    const Node node = std::move(open.back());
    open.pop_back();
    if (node.key.size() > 256) {  // no rule is that long: the trie is not what it is taken for
      problem_ = Problem{"its rules cannot be read"};
      return;
    }
    for (uint32_t byte = 1; byte < 256; ++byte) {
      const size_t child = node.at ^ byte;
      if (child >= units.size() || (units[child] & (1U << 31 | 0xFF)) != byte) continue;
      const std::string key = node.key + static_cast<char>(byte);
      const size_t below = child ^ children(units[child]);
      open.push_back({below, key});
      if ((units[child] >> 8 & 1) == 0) continue;  // no key ends here
      const std::vector<uint32_t> all = characters(key);
      first_.insert(all[0]);
      later_.insert(all.begin() + 1, all.end());
      if (all.size() == 1) alone_.insert(all[0]);
      const uint32_t value = below < units.size() ? units[below] & ~(1U << 31) : UINT32_MAX;
      if (value >= texts.size() || texts[value] == '\0' || texts[value] == ' ') blank_.insert(all[0]);
    }
  }
}

bool PieceCuts::may_cut(std::string_view text, size_t at) const {
  if (problem_ || at == 0 || at >= text.size() || continues(text[at])) return false;
  size_t begin = at - 1;
  while (begin > 0 && continues(text[begin])) --begin;
  const uint32_t before = character_at(text, begin), after = character_at(text, at);
  if (joined_.contains(pair(before, after))) return false;
  // Two unknown characters side by side are one id.
  if (!is_known(as_piece(before)) && !is_known(as_piece(after))) return false;
  // Each is copied as it is, whatever stands on its other side.
  if (later_.contains(before) || alone_.contains(before) || later_.contains(after) || first_.contains(after))
    return false;
  if (remove_spaces_ && (before == kSpace || before == kMeta)) return false;
  if (!dummy_prefix_) return !(remove_spaces_ && after == kSpace);
  // The space that is put before the rest stands for the one it begins with, and an empty text gets none.
  if (after != kSpace || at + 1 >= text.size()) return false;
  const uint32_t next = character_at(text, at + 1);
  return !remove_spaces_ || (next != kSpace && !blank_.contains(next));
}

}  // namespace og

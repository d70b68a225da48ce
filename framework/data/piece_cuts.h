// PieceCuts: where a text may be cut so that a SentencePiece model gives its parts the ids that it gives the whole. A
// cut between two characters is proven, not guessed: no piece of the vocabulary holds the two side by side, so no
// segmentation crosses it (unigram scores add up, BPE merges never join the parts), and nothing that the model does to
// the text before that (rules, spaces removed or added) reaches over it. Immutable once made: any thread may ask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

#include "framework/core/problem.h"

namespace og {

class PieceCuts {
 public:
  // model: the serialised ModelProto that the library has accepted.
  explicit PieceCuts(std::string_view model);

  // Why texts cannot be cut with this model.
  const std::optional<Problem>& problem() const { return problem_; }
  // Whether text[0, at) and the rest may be encoded apart. Needs kAhead bytes after `at`, or the text's end.
  bool may_cut(std::string_view text, size_t at) const;
  static constexpr size_t kAhead = 8;
  // The model puts a space before every text: a part after a cut is given without the one it begins with.
  bool drops_space() const { return dummy_prefix_; }

 private:
  void read_pieces(std::string_view model);
  void read_rules(std::string_view charsmap);
  bool is_known(uint32_t character) const { return byte_fallback_ || known_.contains(character); }

  std::optional<Problem> problem_;
  bool dummy_prefix_ = true, remove_spaces_ = true, escape_spaces_ = true, as_suffix_ = false, byte_fallback_ = false;
  bool raw_space_in_symbol_ = false;
  uint64_t model_type_ = 1;
  // Characters are their UTF-8 bytes as a number; two side by side are one number of 64 bits.
  std::unordered_set<uint64_t> joined_;
  std::unordered_set<uint32_t> known_;
  // From the rules that replace text: first characters, later ones, whole keys of one character, and first characters
  // of rules that give nothing or a space.
  std::unordered_set<uint32_t> first_, later_, alone_, blank_;
};

}  // namespace og

// Training of SentencePiece models (unigram, byte fallback) on lines of text. Used by one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace og {

struct Training {
  int64_t lines = 0, bytes = 0;                  // used: what the library said it took
  int64_t skipped_lines = 0, skipped_bytes = 0;  // left out: text over the limit, lines with the library's own sign
  int64_t cut_lines = 0;                         // longer than the library takes; used in several parts
};

// Collects lines, then trains. The library takes lines of up to 4,192 bytes: longer ones are cut before spaces, where
// there is none between characters.
class TokenizerTrainer {
 public:
  // At most this much text is enough for stable pieces and fits in memory.
  static constexpr int64_t kMostBytes = int64_t{64} << 20;
  explicit TokenizerTrainer(int64_t most_bytes = kMostBytes) : most_bytes_(most_bytes) {}

  // Text as it comes, in whole characters, of any number of lines; lines may go on in the next text.
  void add(std::string_view text);
  void end_document();
  // Writes prefix.model and prefix.vocab, each whole or not at all. The library's warnings go to the log.
  Training train(int64_t vocab_size, const std::string& prefix, int threads);

 private:
  void add_line(std::string_view line);
  int64_t most_bytes_;
  std::string line_;  // begun, not ended
  std::vector<std::string> parts_;
  Training counts_;
};

}  // namespace og

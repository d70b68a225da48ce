// Tokenizers: text to ids and back. Shared between threads once made.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace og {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual int64_t vocab_size() const = 0;
  virtual int32_t end_of_document() const = 0;  // appended to every document
  // Name and content hash: equal for tokenizers that give the same ids. "bytes", "sentencepiece:<hash>".
  virtual std::string identity() const = 0;
  // Appends the ids of the text, a whole document: those of its parts, one after the other.
  void encode(std::string_view text, std::vector<int32_t>& ids) const;
  // A document is encoded in parts, so that memory does not grow with it. The bytes of its next part, where `text` is
  // what comes after the last one; 0: give more of the text (never where it is `whole`: all that is left). Which parts
  // come out does not depend on how the text is given. Refused with Error(Status::data): a text too long for one call
  // in which no cut is known to be safe.
  virtual size_t next_part(std::string_view text, bool whole) const = 0;
  // Appends the ids of a part. first: the document begins with it.
  virtual void encode_part(std::string_view part, bool first, std::vector<int32_t>& ids) const = 0;
  // Whether text need not be UTF-8.
  virtual bool takes_any_bytes() const { return false; }
  // End-of-document ids give nothing.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  // Bytes of text that an id stands for inside a text; 0 for ids that give none.
  virtual int64_t bytes_of(int32_t id) const = 0;
  // The tokenizer's own file, to travel inside checkpoints; "" for bytes.
  virtual std::string content() const { return {}; }
};

// spec: "bytes" (ids 0-255 and 256 = end of document) or "sentencepiece:PATH". Unknown name: Error(Status::usage); a
// file that is no model: Error(Status::data).
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec);
std::unique_ptr<Tokenizer> make_sentencepiece(std::string model, const std::string& name);

// Text from ids as they come, always valid UTF-8: bytes of an unfinished character wait for the rest of it, bytes of
// none become U+FFFD. Holds some tens of ids, however long the text.
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  std::string push(int32_t id);
  std::string finish();  // what still waits

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;
  size_t shown_ = 0;  // bytes of the text of ids_ that were given out
};

}  // namespace og

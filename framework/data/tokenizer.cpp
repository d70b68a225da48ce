#include "framework/data/tokenizer.h"

#include <sentencepiece_processor.h>
#include <xxhash.h>

#include <algorithm>

#include "framework/core/error.h"
#include "framework/core/utf8.h"
#include "framework/data/piece_cuts.h"
#include "framework/io/file.h"

namespace og {

namespace {

// Texts up to here are encoded in one call. SentencePiece takes about 111 bytes of memory for a byte of text, and sums
// the scores of a unigram path in 32 bits: the shorter a text, the less its choice of pieces suffers from rounding.
constexpr size_t kPart = size_t{1} << 16;
// The most text in one call where no cut is known to be safe: about 2 GiB of memory.
constexpr size_t kMostAtOnce = size_t{1} << 24;

class ByteTokenizer final : public Tokenizer {
 public:
  int64_t vocab_size() const override { return 257; }
  int32_t end_of_document() const override { return 256; }
  std::string identity() const override { return "bytes"; }
  bool takes_any_bytes() const override { return true; }
  int64_t bytes_of(int32_t id) const override { return id >= 0 && id < 256; }
  size_t next_part(std::string_view text, bool whole) const override {
    return text.size() >= kPart ? kPart : whole ? text.size() : 0;
  }
  void encode_part(std::string_view part, bool, std::vector<int32_t>& ids) const override {
    ids.reserve(ids.size() + part.size());
    for (char c : part) ids.push_back(static_cast<unsigned char>(c));
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (int32_t id : ids)
      if (id >= 0 && id < 256) text.push_back(static_cast<char>(id));
    return text;
  }
};

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string model, const std::string& name) : model_(std::move(model)) {
    const auto status = processor_.LoadFromSerializedProto(model_);
    if (!status.ok()) fail(Status::data, "{}: not a SentencePiece model ({})", name, status.ToString());
    if (processor_.eos_id() < 0)
      fail(Status::data, "{}: the model has no end-of-sentence piece, which ends documents here", name);
    cuts_ = std::make_unique<PieceCuts>(model_);
  }
  int64_t vocab_size() const override { return processor_.GetPieceSize(); }
  int32_t end_of_document() const override { return processor_.eos_id(); }
  std::string identity() const override {
    return fmt::format("sentencepiece:{:016x}", XXH3_64bits(model_.data(), model_.size()));
  }
  // The last safe cut of the first kPart bytes; where there is none, the first after them.
  size_t next_part(std::string_view text, bool whole) const override {
    if (whole && text.size() <= kPart) return text.size();
    if (text.size() < kPart + PieceCuts::kAhead && !whole) return 0;
    if (!cuts_->problem()) {
      for (size_t at = kPart; at > 0; --at)
        if (cuts_->may_cut(text, at)) return at;
      const size_t end = whole ? text.size() : text.size() - PieceCuts::kAhead;
      for (size_t at = kPart + 1; at <= std::min(end, kMostAtOnce); ++at)
        if (cuts_->may_cut(text, at)) return at;
    }
    if (text.size() > kMostAtOnce + PieceCuts::kAhead)
      fail(Status::data,
           "a document of more than {} MiB that cannot be cut for this SentencePiece model: {}. In one call it would "
           "take 111 bytes of memory for each byte; the limit is {} MiB (2 GiB of memory). Give it as several "
           "documents (JSONL), or use another model",
           kMostAtOnce >> 20, cuts_->problem() ? cuts_->problem()->text : "it holds no place that no piece could cross",
           kMostAtOnce >> 20);
    return whole ? text.size() : 0;
  }
  void encode_part(std::string_view part, bool first, std::vector<int32_t>& ids) const override {
    if (!first && cuts_->drops_space()) part.remove_prefix(1);
    std::vector<int> pieces;
    const auto status = processor_.Encode(std::string(part), &pieces);
    if (!status.ok()) fail(Status::data, "SentencePiece cannot encode a document: {}", status.ToString());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::vector<int> pieces;
    for (int32_t id : ids)
      if (id != end_of_document() && id >= 0 && id < vocab_size()) pieces.push_back(id);
    std::string text;
    const auto status = processor_.Decode(pieces, &text);
    OG_CHECK(status.ok(), "SentencePiece cannot decode: {}", status.ToString());
    return text;
  }
  int64_t bytes_of(int32_t id) const override {
    if (id < 0 || id >= vocab_size() || processor_.IsControl(id) || processor_.IsUnknown(id)) return 0;
    if (processor_.IsByte(id)) return 1;
    const std::string& piece = processor_.IdToPiece(id);
    constexpr std::string_view kSpace = "\xE2\x96\x81";  // stands for one space
    int64_t bytes = std::ssize(piece);
    for (size_t at = piece.find(kSpace); at != std::string::npos; at = piece.find(kSpace, at + kSpace.size()))
      bytes -= 2;
    return bytes;
  }
  std::string content() const override { return model_; }

 private:
  std::string model_;
  sentencepiece::SentencePieceProcessor processor_;
  std::unique_ptr<PieceCuts> cuts_;
};

}  // namespace

void Tokenizer::encode(std::string_view text, std::vector<int32_t>& ids) const {
  for (bool first = true; !text.empty(); first = false) {
    const size_t size = next_part(text, true);
    encode_part(text.substr(0, size), first, ids);
    text.remove_prefix(size);
  }
}

std::unique_ptr<Tokenizer> make_sentencepiece(std::string model, const std::string& name) {
  return std::make_unique<SentencePieceTokenizer>(std::move(model), name);
}

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec) {
  constexpr std::string_view kPrefix = "sentencepiece:";
  if (spec == "bytes") return std::make_unique<ByteTokenizer>();
  if (spec.starts_with(kPrefix)) {
    const std::string path = spec.substr(kPrefix.size());
    return make_sentencepiece(read_text(path), path);
  }
  fail(Status::usage, "data.tokenizer: expected bytes or sentencepiece:PATH, found {}", spec);
}

std::string StreamingDecoder::push(int32_t id) {
  ids_.push_back(id);
  const std::string text = tokenizer_.decode(ids_);
  size_t whole = whole_characters(text);
  // SentencePiece shows the bytes of an unfinished character as replacement characters, at most three.
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  if (!tokenizer_.takes_any_bytes())
    for (int n = 0; n < 3 && std::string_view(text).substr(0, whole).ends_with(kReplacement); ++n)
      whole -= kReplacement.size();
  std::string out;
  if (whole > shown_) {
    out = repaired_utf8(std::string_view(text).substr(shown_, whole - shown_));
    shown_ = whole;
  }
  // How a piece reads may depend on the one before (a leading space): some stay as context.
  constexpr size_t kMost = 64, kContext = 8;
  if (whole == text.size() && ids_.size() > kMost) {
    ids_.erase(ids_.begin(), ids_.end() - kContext);
    shown_ = tokenizer_.decode(ids_).size();
  }
  return out;
}

std::string StreamingDecoder::finish() {
  const std::string text = tokenizer_.decode(ids_);
  const std::string out = text.size() > shown_ ? repaired_utf8(std::string_view(text).substr(shown_)) : std::string();
  ids_.clear();
  shown_ = 0;
  return out;
}

}  // namespace og

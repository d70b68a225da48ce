#include "framework/data/tokenizer.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <xxhash.h>

#include <unordered_map>

#include "framework/core/error.h"
#include "framework/data/utf8.h"
#include "framework/io/file.h"

namespace og {

namespace {

class ByteTokenizer final : public Tokenizer {
 public:
  int64_t vocab_size() const override { return 257; }
  int32_t end_of_document() const override { return 256; }
  std::string identity() const override { return "bytes"; }
  bool takes_any_bytes() const override { return true; }
  int64_t bytes_of(int32_t id) const override { return id >= 0 && id < 256; }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    ids.reserve(ids.size() + text.size());
    for (char c : text) ids.push_back(static_cast<unsigned char>(c));
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
  }
  int64_t vocab_size() const override { return processor_.GetPieceSize(); }
  int32_t end_of_document() const override { return processor_.eos_id(); }
  std::string identity() const override {
    return fmt::format("sentencepiece:{:016x}", XXH3_64bits(model_.data(), model_.size()));
  }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    std::vector<int> pieces;
    const auto status = processor_.Encode(std::string(text), &pieces);
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
};

class Sentences final : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& all) : all_(all) {}
  bool done() const override { return next_ == all_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return all_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& all_;
  size_t next_ = 0;
};

}  // namespace

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

void train_sentencepiece(const std::vector<std::string>& sentences, int64_t vocab_size, const std::string& prefix) {
  // As a map: given as one line of flags, the library prints the line.
  const std::unordered_map<std::string, std::string> flags{{"model_prefix", prefix},
                                                           {"vocab_size", fmt::format("{}", vocab_size)},
                                                           {"model_type", "unigram"},
                                                           {"byte_fallback", "true"},
                                                           {"character_coverage", "0.9995"},
                                                           {"unk_id", "0"},
                                                           {"eos_id", "1"},
                                                           {"bos_id", "-1"},
                                                           {"pad_id", "-1"},
                                                           {"remove_extra_whitespaces", "false"},
                                                           {"add_dummy_prefix", "false"},
                                                           {"normalization_rule_name", "identity"},
                                                           {"hard_vocab_limit", "false"},
                                                           {"num_threads", "2"},
                                                           {"minloglevel", "2"}};
  Sentences iterator(sentences);
  const auto status = sentencepiece::SentencePieceTrainer::Train(flags, &iterator);
  if (!status.ok())
    fail(Status::data, "training a SentencePiece model of {} pieces: {}", vocab_size, status.ToString());
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

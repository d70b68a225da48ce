#include "framework/data/tokenizer_training.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <streambuf>
#include <unordered_map>

#include "framework/core/error.h"
#include "framework/core/log.h"
#include "framework/core/utf8.h"
#include "framework/io/file.h"

namespace og {

namespace {

constexpr size_t kMostOfLine = 4192;                    // the library drops longer lines
constexpr std::string_view kReserved = "\xE2\x96\x85";  // and lines with U+2585, which it uses itself

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

// What the library writes to std::cerr while it trains ("file.cc(12) LOG(WARNING) text"), from any of its threads: its
// warnings become ours, and how many lines it loaded is read off.
class LibraryLog final : public std::streambuf {
 public:
  LibraryLog() : before_(std::cerr.rdbuf(this)) {}
  ~LibraryLog() override { std::cerr.rdbuf(before_); }
  LibraryLog(const LibraryLog&) = delete;
  LibraryLog& operator=(const LibraryLog&) = delete;
  int64_t loaded() const { return loaded_; }  // -1: it did not say

 protected:
  int_type overflow(int_type c) override {
    const char one = static_cast<char>(c);
    xsputn(&one, 1);
    return c;
  }
  std::streamsize xsputn(const char* text, std::streamsize n) override {
    const std::lock_guard lock(mutex_);
    line_.append(text, static_cast<size_t>(n));
    for (size_t end = line_.find('\n'); end != std::string::npos; end = line_.find('\n')) {
      take(line_.substr(0, end));
      line_.erase(0, end + 1);
    }
    return n;
  }

 private:
  void take(const std::string& line) {
    constexpr std::string_view kLoaded = "Loaded all ";
    if (const size_t at = line.find(kLoaded); at != std::string::npos)
      loaded_ = std::atoll(line.c_str() + at + kLoaded.size());
    for (const std::string_view sign : {"LOG(WARNING) ", "LOG(ERROR) "})
      if (const size_t at = line.find(sign); at != std::string::npos)
        log::warning("SentencePiece: {}", line.substr(at + sign.size()));
  }
  std::streambuf* before_;
  std::mutex mutex_;
  std::string line_;
  int64_t loaded_ = -1;
};

}  // namespace

void TokenizerTrainer::add(std::string_view text) {
  for (;;) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    line_ += text.substr(0, end);
    text.remove_prefix(end + 1);
    end_document();
  }
  line_ += text;
}

void TokenizerTrainer::end_document() {
  if (!line_.empty()) add_line(line_);
  line_.clear();
}

void TokenizerTrainer::add_line(std::string_view line) {
  const auto size = std::ssize(line);
  if (counts_.bytes + size > most_bytes_ || line.find(kReserved) != std::string_view::npos) {
    counts_.skipped_lines += 1;
    counts_.skipped_bytes += size;
    return;
  }
  counts_.lines += 1;
  counts_.bytes += size;
  counts_.cut_lines += line.size() > kMostOfLine;
  while (line.size() > kMostOfLine) {
    size_t cut = line.rfind(' ', kMostOfLine);
    if (cut == std::string_view::npos || cut == 0) cut = whole_characters(line.substr(0, kMostOfLine));
    parts_.emplace_back(line.substr(0, cut));
    line.remove_prefix(cut);
  }
  parts_.emplace_back(line);
}

Training TokenizerTrainer::train(int64_t vocab_size, const std::string& prefix, int threads) {
  end_document();
  // As a map: given as one line of flags, the library prints the line.
  const std::unordered_map<std::string, std::string> flags{{"vocab_size", fmt::format("{}", vocab_size)},
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
                                                           {"max_sentence_length", fmt::format("{}", kMostOfLine)},
                                                           {"num_threads", fmt::format("{}", threads)},
                                                           {"minloglevel", "0"}};
  Sentences iterator(parts_);
  std::string model;
  int64_t loaded = -1;
  sentencepiece::util::Status status;
  {
    const LibraryLog library;
    status = sentencepiece::SentencePieceTrainer::Train(flags, &iterator, &model);
    loaded = library.loaded();
  }
  if (!status.ok())
    fail(Status::data, "training a SentencePiece model of {} pieces on {} lines: {}", vocab_size, counts_.lines,
         status.ToString());
  if (loaded >= 0 && loaded != std::ssize(parts_))
    log::warning("SentencePiece took {} of the {} lines and parts of lines it was given", loaded, parts_.size());

  sentencepiece::SentencePieceProcessor processor;
  OG_CHECK(processor.LoadFromSerializedProto(model).ok(), "SentencePiece does not read the model that it made");
  std::string vocabulary;
  for (int id = 0; id < processor.GetPieceSize(); ++id)
    vocabulary += fmt::format("{}\t{:g}\n", processor.IdToPiece(id), processor.GetScore(id));
  replace_text(prefix + ".vocab", vocabulary);
  replace_text(prefix + ".model", model);
  return counts_;
}

}  // namespace og

// Texts cut for SentencePiece: the parts together have the ids that the library gives the whole in one call.
#include <gtest/gtest.h>

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <random>
#include <unordered_map>

#include "framework/core/error.h"
#include "framework/core/log.h"
#include "framework/data/piece_cuts.h"
#include "framework/data/tokenizer.h"

namespace og {
namespace {

using Flags = std::unordered_map<std::string, std::string>;

class Lines final : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(std::vector<std::string> all) : all_(std::move(all)) {}
  bool done() const override { return next_ == all_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return all_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::vector<std::string> all_;
  size_t next_ = 0;
};

// Words, digits, accents, CJK, emoji, combining marks, characters no model has seen, runs of spaces, tabs, newlines.
std::string random_text(std::mt19937_64& random, size_t size, int spaces) {
  static const std::vector<std::string> kAtoms{"the",
                                               "quick",
                                               "brown",
                                               "fox",
                                               "jump",
                                               "ing",
                                               "ed",
                                               "a",
                                               "b",
                                               "1",
                                               "23",
                                               ",",
                                               ".",
                                               "(",
                                               ")",
                                               "\xC3\xA9",
                                               "caf\xC3\xA9",
                                               "\xE4\xB8\xAD\xE6\x96\x87",
                                               "\xE5\xAD\x97",
                                               "\xF0\x9F\x98\x80",
                                               "e\xCC\x81",
                                               "\xE2\x82\xAC",
                                               "\xE2\x80\x9D",
                                               "\xEF\xAC\x81",
                                               "\xC2\xA0",
                                               "\xE3\x80\x80",
                                               "\xE2\x96\x81",
                                               "\xEA\xB0\x80",
                                               "\n",
                                               "\r\n",
                                               "\t",
                                               "\xD7\x90",
                                               "Z",
                                               "__",
                                               "q",
                                               "\xC2\xBD",
                                               "\xCC\x81"};
  std::string text;
  while (text.size() < size) {
    text += kAtoms[random() % kAtoms.size()];
    if (spaces > 0 && random() % 3 == 0) text.append(random() % 8 == 0 ? random() % 40 : 1, ' ');
  }
  return text;
}

std::string train(Flags more) {
  std::mt19937_64 random(3);
  std::vector<std::string> lines;
  for (int i = 0; i < 400; ++i) {
    std::string line = random_text(random, 20 + random() % 80, 1);
    std::erase_if(line, [](char c) { return c == '\n' || c == '\r'; });
    lines.push_back(line);
  }
  Flags flags{{"vocab_size", "180"},
              {"hard_vocab_limit", "false"},
              {"minloglevel", "2"},
              {"num_threads", "1"},
              {"character_coverage", "0.98"}};
  for (const auto& [key, value] : more) flags[key] = value;
  Lines iterator(std::move(lines));
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(flags, &iterator, &model);
  OG_CHECK(status.ok(), "{}", status.ToString());
  return model;
}

// The same model with scores that are whole quarters: the library sums scores in 32 bits, and these sums are exact, so
// that what the whole and its parts give can differ by the cuts alone.
std::string with_exact_scores(std::string model) {
  for (size_t at = 0; at < model.size();) {
    const auto varint = [&] {
      uint64_t value = 0;
      for (int shift = 0;; shift += 7) {
        const auto byte = static_cast<unsigned char>(model[at++]);
        value |= uint64_t{byte & 0x7FU} << shift;
        if (byte < 0x80) return value;
      }
    };
    const uint64_t key = varint(), size = varint();
    const size_t end = at + size;
    while (key == 10 && at < end) {  // a piece: text, score, type
      const uint64_t field = varint();
      if (field == 10) {
        const uint64_t length = varint();
        at += length;
      } else if (field == 21) {
        float score = 0;
        std::memcpy(&score, model.data() + at, 4);
        score = std::round(score * 4) / 4;
        std::memcpy(model.data() + at, &score, 4);
        at += 4;
      } else {
        varint();
      }
    }
    at = end;
  }
  return model;
}

struct Case {
  std::string name;
  Flags flags;
  bool cuts;  // whether texts can be cut at all
};

std::vector<Case> cases() {
  const Flags ours{
      {"normalization_rule_name", "identity"}, {"add_dummy_prefix", "false"}, {"remove_extra_whitespaces", "false"}};
  const auto with = [](Flags base, const Flags& more) {
    for (const auto& [key, value] : more) base[key] = value;
    return base;
  };
  return {{"unigram as trained here", with(ours, {{"byte_fallback", "true"}, {"vocab_size", "400"}}), true},
          {"unigram, unknown ids", ours, true},
          {"bpe", with(ours, {{"model_type", "bpe"}}), true},
          {"bpe, bytes, symbols",
           with(ours, {{"model_type", "bpe"},
                       {"byte_fallback", "true"},
                       {"vocab_size", "420"},
                       {"user_defined_symbols", "fox1,<x>,ab"}}),
           true},
          {"pieces over spaces", with(ours, {{"split_by_whitespace", "false"}}), true},
          {"pieces of spaces", with(ours, {{"allow_whitespace_only_pieces", "true"}}), true},
          {"space as suffix", with(ours, {{"treat_whitespace_as_suffix", "true"}}), true},
          {"dummy prefix", with(ours, {{"add_dummy_prefix", "true"}}), true},
          {"dummy prefix, pieces of spaces, bpe",
           with(ours, {{"add_dummy_prefix", "true"}, {"model_type", "bpe"}, {"allow_whitespace_only_pieces", "true"}}),
           true},
          {"spaces removed", with(ours, {{"remove_extra_whitespaces", "true"}}), true},
          {"the library's defaults", {}, true},
          {"nfkc with case folding, bpe", {{"normalization_rule_name", "nmt_nfkc_cf"}, {"model_type", "bpe"}}, true},
          {"nfkc, no prefix", {{"normalization_rule_name", "nfkc"}, {"add_dummy_prefix", "false"}}, true},
          {"characters", {{"model_type", "char"}}, true},
          {"words", {{"model_type", "word"}}, false},
          {"suffix on every text", {{"treat_whitespace_as_suffix", "true"}}, false}};
}

std::vector<int> whole(const std::string& model, std::string_view text) {
  sentencepiece::SentencePieceProcessor processor;
  OG_CHECK(processor.LoadFromSerializedProto(model).ok(), "the model is read");
  std::vector<int> ids;
  OG_CHECK(processor.Encode(std::string(text), &ids).ok(), "the text is encoded");
  return ids;
}

// Every cut that is allowed, not only those that long texts happen to get.
TEST(PieceCuts, EveryAllowedCutKeepsTheIds) {
  for (const Case& c : cases()) {
    const std::string model = with_exact_scores(train(c.flags));
    sentencepiece::SentencePieceProcessor processor;
    ASSERT_TRUE(processor.LoadFromSerializedProto(model).ok());
    const PieceCuts cuts(model);
    EXPECT_EQ(!cuts.problem(), c.cuts) << c.name << ": " << (cuts.problem() ? cuts.problem()->text : "");
    std::mt19937_64 random(11);
    int64_t allowed = 0;
    for (int n = 0; n < 60; ++n) {
      const std::string text = random_text(random, 40 + random() % 120, n % 4);
      std::vector<int> expected;
      ASSERT_TRUE(processor.Encode(text, &expected).ok());
      for (size_t at = 1; at < text.size(); ++at) {
        if (!cuts.may_cut(text, at)) continue;
        ++allowed;
        std::vector<int> left, right;
        ASSERT_TRUE(processor.Encode(text.substr(0, at), &left).ok());
        ASSERT_TRUE(processor.Encode(text.substr(at + (cuts.drops_space() ? 1 : 0)), &right).ok());
        left.insert(left.end(), right.begin(), right.end());
        ASSERT_EQ(left, expected) << c.name << ": " << text.substr(0, at) << "|" << text.substr(at);
      }
    }
    EXPECT_EQ(allowed > 50, c.cuts) << c.name << ": " << allowed;
  }
}

TEST(PieceCuts, LongTextsHaveTheIdsOfOneCall) {
  for (const Case& c : cases()) {
    const std::string model = with_exact_scores(train(c.flags));
    const auto tokenizer = make_sentencepiece(model, c.name);
    std::mt19937_64 random(5);
    for (int spaces : {1, 0}) {
      const std::string text = random_text(random, 300000, spaces);
      std::vector<int32_t> ids;
      tokenizer->encode(text, ids);
      EXPECT_EQ(ids, whole(model, text)) << c.name << ", spaces " << spaces;
      // Given in small blocks the same parts come out.
      std::vector<size_t> at_once, streamed;
      for (size_t at = 0; at < text.size();)
        at += at_once.emplace_back(tokenizer->next_part(std::string_view(text).substr(at), true));
      for (size_t at = 0, end = 0; at < text.size();) {
        const size_t size = tokenizer->next_part(std::string_view(text).substr(at, end - at), end == text.size());
        if (size == 0)
          end = std::min(text.size(), end + 5001);
        else
          at += streamed.emplace_back(size);
      }
      EXPECT_EQ(streamed, at_once) << c.name;
      if (c.cuts && spaces > 0) {
        EXPECT_GE(at_once.size(), 5U) << c.name;
      }
    }
  }
}

TEST(PieceCuts, TextWithoutAPlaceToCutHasASaidLimit) {
  const std::string model = train({{"model_type", "word"}});
  const auto tokenizer = make_sentencepiece(model, "words");
  const std::string text(size_t{17} << 20, 'a');
  std::vector<int32_t> ids;
  try {
    tokenizer->encode(text, ids);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.status(), Status::data);
    EXPECT_NE(std::string(e.what()).find("16 MiB"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("whole words"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace og

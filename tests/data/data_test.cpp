// Tokenizers, text and token files, rows.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "framework/core/utf8.h"
#include "framework/data/loader.h"
#include "framework/data/prepare.h"
#include "framework/data/text_reader.h"
#include "framework/data/tokenizer_training.h"
#include "tests/files.h"

namespace og {
namespace {

class Data : public FolderTest {
 protected:
  // Documents of these texts as a token file.
  std::string tokens(const std::string& name, const std::vector<std::string>& texts) const {
    const auto bytes = make_tokenizer("bytes");
    TokenFileWriter writer(path(name), bytes->vocab_size(), bytes->identity());
    for (const std::string& t : texts) {
      std::vector<int32_t> ids;
      bytes->encode(t, ids);
      ids.push_back(bytes->end_of_document());
      writer.add_document(ids);
    }
    writer.finish();
    return path(name);
  }
  template <class F>
  static void expect_refused(F&& f, const std::string& part) {
    const std::string message = message_of(Status::data, f);
    EXPECT_TRUE(contains(message, part)) << message;
  }
};

Loader loader(const std::vector<LoaderSource>& sources, int64_t length, bool pack = true, bool shuffle = true) {
  return Loader("data.train", sources,
                {.sequence_length = length, .pack_documents = pack, .shuffle = shuffle, .seed = 5}, 257, "bytes");
}

TEST_F(Data, BytesAndSentencePieceRoundTrip) {
  const std::string text = "Naive caf\xC3\xA9:\n\ttabs, \xE2\x82\xAC signs.\n";
  std::vector<std::string> lines;
  for (int i = 0; i < 200; ++i) lines.push_back(fmt::format("line {} of the training text, {}", i, i * i % 17));
  TokenizerTrainer trainer;
  for (const std::string& l : lines) trainer.add(l + "\n");
  trainer.train(300, path("piece"), 1);
  for (const std::string& spec : {std::string("bytes"), "sentencepiece:" + path("piece.model")}) {
    const auto tokenizer = make_tokenizer(spec);
    std::vector<int32_t> ids;
    tokenizer->encode(text, ids);
    int64_t bytes = 0;
    for (int32_t id : ids) {
      EXPECT_LT(id, tokenizer->vocab_size());
      bytes += tokenizer->bytes_of(id);
    }
    EXPECT_EQ(bytes, std::ssize(text));
    EXPECT_EQ(tokenizer->bytes_of(tokenizer->end_of_document()), 0);
    ids.push_back(tokenizer->end_of_document());
    EXPECT_EQ(tokenizer->decode(ids), text) << spec;
    StreamingDecoder decoder(*tokenizer);
    std::string streamed;
    for (int32_t id : ids) {
      const std::string part = decoder.push(id);
      EXPECT_EQ(whole_characters(part), part.size());
      streamed += part;
    }
    EXPECT_EQ(streamed + decoder.finish(), text) << spec;
  }
}

TEST_F(Data, TokenizerTrainingCountsWhatItUses) {
  TokenizerTrainer trainer(40000);
  for (int i = 0; i < 300; ++i) trainer.add(fmt::format("line {} of the training", i) + " text\n\n");
  std::string line;
  for (int i = 0; i < 3000; ++i) line += "\xE2\x82\xAC";  // 9,000 bytes without a space, 4,192 is inside a character
  trainer.add(line + "\n");
  trainer.add("with \xE2\x96\x85\n");
  trainer.add(std::string(30000, 'x'));
  trainer.end_document();
  trainer.add("last, without an end");
  const Training t = trainer.train(300, path("counted"), 1);
  EXPECT_EQ(t.lines, 300 + 1 + 1);
  int64_t bytes = 9000 + 20;
  for (int i = 0; i < 300; ++i) bytes += std::ssize(fmt::format("line {} of the training text", i));
  EXPECT_EQ(t.bytes, bytes);
  EXPECT_EQ(t.cut_lines, 1);
  EXPECT_EQ(t.skipped_lines, 2);
  EXPECT_EQ(t.skipped_bytes, 8 + 30000);
  const auto tokenizer = make_tokenizer("sentencepiece:" + path("counted.model"));
  std::vector<int32_t> ids;
  tokenizer->encode("\xE2\x82\xAC", ids);
  EXPECT_EQ(ids.size(), 1U);  // learned from the long line; of bytes it would be three
}

TEST_F(Data, StreamsAreValidUtf8WhateverTheModelSays) {
  const auto tokenizer = make_tokenizer("bytes");
  // A lead byte alone, a stray continuation, an overlong form, a surrogate, then a long text without a line's end.
  std::string text = "a\xE2\x82z\x80\xC0\xAF\xED\xA0\x80 \xF0\x9F\x98\x80";
  for (int i = 0; i < 200; ++i) text += fmt::format("{}\xE2\x82\xAC", i);
  std::string streamed;
  StreamingDecoder decoder(*tokenizer);
  for (char c : text) {
    const std::string part = decoder.push(static_cast<unsigned char>(c));
    EXPECT_EQ(first_bad_utf8(part), -1);
    streamed += part;
  }
  streamed += decoder.finish();
  EXPECT_EQ(streamed, repaired_utf8(text));
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_TRUE(streamed.starts_with("a" + bad + bad + "z" + bad + bad + bad + bad + bad + bad +
                                   " \xF0\x9F\x98\x80"
                                   "0"));
  EXPECT_EQ(first_bad_utf8("ok\xE0\x80\x80"), 2);
  EXPECT_EQ(first_bad_utf8("\xF4\x90\x80\x80"), 0);
  EXPECT_EQ(first_bad_utf8("\xF4\x8F\xBF\xBF"), -1);
  EXPECT_EQ(whole_characters("ab\xF0\x9F\x98"), 2U);
  EXPECT_EQ(whole_characters("ab\x98"), 3U);
}

TEST_F(Data, CompressedFilesReadAsPlainOnes) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += fmt::format("{{\"text\": \"document {}\"}}\n", i);
  const std::string plain = write("a.jsonl", text);
  ASSERT_EQ(std::system(fmt::format("gzip -k {0} && zstd -q {0}", plain).c_str()), 0);
  for (const char* end : {".gz", ".zst"}) {
    TextReader reader(plain + end);
    EXPECT_EQ(reader.read_all(), text) << end;
    int64_t documents = 0;
    for_each_document(plain + end, {}, true,
                      [&](const std::string& d) { EXPECT_EQ(d, fmt::format("document {}", documents++)); });
    EXPECT_EQ(documents, 20000);
    const auto size = std::filesystem::file_size(plain + end);
    std::filesystem::resize_file(plain + end, size / 2);
    expect_refused([&] { TextReader(plain + end).read_all(); }, plain + end);
  }
}

TEST_F(Data, BadTextIsRefusedByName) {
  const auto read = [](const std::string& p) { for_each_document(p, {}, true, [](const std::string&) {}); };
  expect_refused([&] { read(path("absent.txt")); }, "absent.txt");
  expect_refused([&] { read(write("empty.txt", "")); }, "empty");
  expect_refused([&] { read(write("nul.txt", std::string("a\0b", 3))); }, "binary");
  expect_refused([&] { read(write("latin.txt", "caf\xE9")); }, "UTF-8");
  expect_refused([&] { read(write("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}\n")); }, "bad.jsonl:2");
  expect_refused([&] { read(write("torn.jsonl", "{\"text\": \"a\"}\n{\"text\": \n")); }, "torn.jsonl:2");
  expect_refused([&] { expand_paths(path("*.nothing")); }, "no file matches");
  expect_refused([&] { read(write("plain.txt.gz", "text")); }, "plain.txt.gz: damaged");
  expect_refused([&] { read(write("plain.txt.zst", "text")); }, "plain.txt.zst: damaged");
  expect_refused([&] { read(write("field.jsonl", "{\"content\": \"a\"}\n")); }, "field.jsonl:1");
  // The bytes tokenizer takes any encoding, and no binary file, wherever its NUL is.
  const auto bytes = make_tokenizer("bytes");
  const Prepared latin = prepare_tokens({path("latin.txt")}, *bytes, {}, path("latin.tokens"));
  EXPECT_EQ(latin.tokens, 5);
  const std::string late = std::string(300000, 'a') + '\0';
  expect_refused([&] { prepare_tokens({write("late.txt", late)}, *bytes, {}, path("late.tokens")); }, "300000");
  EXPECT_FALSE(std::filesystem::exists(path("late.tokens")));
  expect_refused([&] { prepare_tokens({path("empty.txt")}, *bytes, {}, path("empty.tokens")); }, "empty");
  expect_refused([&] { cached_tokens(write("fake.tokens", "this is text"), *bytes, {}); }, "fake.tokens");
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    EXPECT_NE(entry.path().extension(), ".part") << entry.path();
}

TEST_F(Data, EveryDamageToATokenFileIsFound) {
  const std::string good = tokens("good.tokens", {"first", "second document", ""});
  const TokenFile file(good, true);
  EXPECT_EQ(file.num_documents(), 3);
  EXPECT_EQ(file.num_tokens(), 6 + 16 + 1);
  EXPECT_EQ(file.largest_id(), 256);
  EXPECT_EQ(file.document_of(0), 0);
  EXPECT_EQ(file.document_of(6), 1);
  EXPECT_EQ(file.document_of(22), 2);
  const std::string whole = read_text(good);
  for (size_t cut : {size_t{0}, size_t{7}, size_t{20}, size_t{100}, size_t{4100}, whole.size() - 1})
    expect_refused([&] { TokenFile(write("cut.tokens", whole.substr(0, cut)), true); }, "cut.tokens");
  // Magic, version, header length, its checksum, the header, the ids, the offsets.
  for (size_t at :
       {size_t{2}, size_t{9}, size_t{17}, size_t{25}, size_t{40}, size_t{100}, size_t{4097}, whole.size() - 3}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    expect_refused([&] { TokenFile(write("damaged.tokens", damaged), true); }, "damaged.tokens");
  }
  expect_refused([&] { Loader("data.train", {{{good}, 1}}, {.sequence_length = 4}, 257, "sentencepiece:1"); }, "bytes");
  expect_refused([&] { Loader("data.train", {{{good}, 1}}, {.sequence_length = 100}, 257, "bytes"); }, "101");
  expect_refused([&] { Loader("data.train", {{{good}, 1}}, {.sequence_length = 4}, 256, "bytes"); }, "vocabulary");
}

TEST_F(Data, WideIdsAndLargeFilesComeBackAsWritten) {
  TokenFileWriter writer(path("wide.tokens"), 100000, "sentencepiece:1");
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 300000; ++i) ids.push_back(static_cast<int32_t>(int64_t{i} * 7919 % 100000));
  writer.add_document(std::span(ids).first(100));
  writer.append(std::span(ids).subspan(100, 150000));
  writer.append(std::span(ids).subspan(150100));
  EXPECT_FALSE(std::filesystem::exists(path("wide.tokens")));  // there whole, or not at all
  writer.finish();
  const TokenFile file(path("wide.tokens"), true);
  EXPECT_EQ(file.num_documents(), 2);
  EXPECT_EQ(file.num_tokens(), 300000);
  for (int64_t i = 0; i < file.num_tokens(); ++i) ASSERT_EQ(file.token(i), ids[static_cast<size_t>(i)]);
  EXPECT_EQ(file.document(1), (std::pair<int64_t, int64_t>{100, 300000}));
}

TEST_F(Data, TextIsPreparedOnceAndDamagedCachesAreMadeAgain) {
  ASSERT_EQ(setenv("ONEGATHER_CACHE", path("cache").c_str(), 1), 0);
  std::string text;
  for (int i = 0; i < 100000; ++i) text += fmt::format("{} ", i);
  const auto bytes = make_tokenizer("bytes");
  const std::string cached = cached_tokens(write("a.txt", text), *bytes, {});
  const auto made = std::filesystem::last_write_time(cached);
  EXPECT_EQ(cached_tokens(write("copy.txt", text), *bytes, {}), cached);  // by content, not by name
  EXPECT_EQ(std::filesystem::last_write_time(cached), made);
  EXPECT_NE(cached_tokens(write("b.txt", text + "more"), *bytes, {}), cached);
  const TokenFile file(cached);
  ASSERT_EQ(file.num_tokens(), std::ssize(text) + 1);
  for (size_t i = 0; i < text.size(); ++i) ASSERT_EQ(file.token(static_cast<int64_t>(i)), text[i]);
  EXPECT_EQ(cached_tokens(cached, *bytes, {}), cached);  // a token file is itself
  std::filesystem::resize_file(cached, 5000);
  EXPECT_EQ(cached_tokens(path("a.txt"), *bytes, {}), cached);
  EXPECT_EQ(TokenFile(cached, true).num_tokens(), std::ssize(text) + 1);
  ASSERT_EQ(unsetenv("ONEGATHER_CACHE"), 0);
}

// Every token of the files is a target once. Read is the token before it, at a document's beginning the end-of-document
// token, which begins a document of its own: what is below is written out by hand.
TEST_F(Data, DocumentsAreOpenedByTheirEndAndEveryTokenIsATarget) {
  // "$": the end of a document, "-": no target. The second file begins with the end of the first, and so does a row.
  const std::vector<std::string> files{tokens("a.tokens", {"abcdefg", "h", ""}), tokens("b.tokens", {"ijkl", "mn"})};
  struct Row {
    std::string read, targets, starts;
  };
  const auto id = [](char c) { return c == '$' ? 256 : c == '-' ? -1 : c; };
  const auto check = [&](const Loader& loader, const std::vector<Row>& rows) {
    auto pool = Pool::create();
    ASSERT_EQ(loader.rows_per_epoch(), std::ssize(rows));
    for (size_t r = 0; r < rows.size(); ++r) {
      const Batch b = loader.rows(*pool, static_cast<int64_t>(r), 1);
      int64_t valid = 0;
      for (size_t t = 0; t < 6; ++t) {
        const auto at = static_cast<int64_t>(t);
        EXPECT_EQ(b.tokens_BT.at(at), id(rows[r].read[t])) << r << " " << t;
        EXPECT_EQ(b.targets_BT.at(at), id(rows[r].targets[t])) << r << " " << t;
        EXPECT_EQ(b.starts_BT.at(at), rows[r].starts[t] - '0') << r << " " << t;
        valid += rows[r].targets[t] != '-';
      }
      EXPECT_EQ(b.valid_tokens, valid);
    }
  };
  const std::vector<Row> packed{{"$abcde", "abcdef", "000000"}, {"fg$h$$", "g$h$$i", "002245"}};
  const std::vector<Row> stream{{"$abcde", "abcdef", "000000"}, {"fg$h$$", "g$h$$i", "000000"}};
  const Row last_packed{"ijkl$m", "jkl$mn", "000044"}, last_stream{"ijkl$m", "jkl$mn", "000000"};
  const Row filled{"n$$$$$", "$-----", "000000"};
  for (bool pack : {true, false}) {
    std::vector<Row> rows = pack ? packed : stream;
    rows.push_back(pack ? last_packed : last_stream);
    LoaderOptions options{.sequence_length = 6, .pack_documents = pack, .shuffle = false};
    const Loader training("data.train", {{files, 0}}, options, 257, "bytes");
    EXPECT_EQ(training.num_tokens(), 19);
    EXPECT_EQ(training.tokens_left_out(), 1);
    EXPECT_EQ(training.num_documents(), 5);
    EXPECT_EQ(training.num_empty_documents(), 1);
    check(training, rows);
    options.fill_last_row = true;
    const Loader evaluation("data.eval", {{files, 0}}, options, 257, "bytes");
    EXPECT_EQ(evaluation.tokens_left_out(), 0);
    rows.push_back(filled);
    check(evaluation, rows);
  }
  // The border of two files at the border of two rows.
  for (bool pack : {true, false})
    check(Loader("data.train", {{{tokens("c.tokens", {"abcde"}), tokens("d.tokens", {"fghijkl"})}, 0}},
                 {.sequence_length = 6, .pack_documents = pack, .shuffle = false}, 257, "bytes"),
          {{"$abcde", "abcde$", "000000"}, {"$fghij", "fghijk", "000000"}});
}

// What opens a document does not come from the file; a document that goes on in the next row is not opened again.
TEST_F(Data, FilesOfOtherProgramsMayLackTheEndOfADocument) {
  TokenFileWriter writer(path("bare.tokens"), 257, "bytes");
  writer.add_document(std::vector<int32_t>{1, 2, 3});
  writer.add_document({});
  writer.add_document(std::vector<int32_t>{4, 5, 6, 7, 8});
  writer.finish();
  auto pool = Pool::create();
  const Batch b = loader({{{path("bare.tokens")}, 1}}, 4, true, false).rows(*pool, 0, 2);
  const std::vector<double> read{256, 1, 2, 256, 4, 5, 6, 7}, starts{0, 0, 0, 3, 0, 0, 0, 0};
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(b.tokens_BT.at(i), read[static_cast<size_t>(i)]);
    EXPECT_EQ(b.targets_BT.at(i), i + 1);
    EXPECT_EQ(b.starts_BT.at(i), starts[static_cast<size_t>(i)]);
  }
}

TEST_F(Data, AnEvaluationCountsEveryTokenOnceAtAnyLength) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < 20; ++i) texts.emplace_back(i * 7 % 31, static_cast<char>('a' + i));
  const std::vector<std::string> files{tokens("a.tokens", texts), tokens("b.tokens", {"x", "yz"})};
  std::vector<int32_t> all;
  for (const std::string& f : files)
    for (int64_t i = 0; i < TokenFile(f).num_tokens(); ++i) all.push_back(TokenFile(f).token(i));
  auto pool = Pool::create();
  for (int64_t length : {1, 4, 7, 48, 1000}) {
    const Loader rows("data.eval", {{files, 0}}, {.sequence_length = length, .shuffle = false, .fill_last_row = true},
                      257, "bytes");
    EXPECT_EQ(rows.rows_per_epoch(), (std::ssize(all) + length - 1) / length);
    std::vector<int32_t> seen;
    int64_t valid = 0;
    for (int64_t r = 0; r < rows.rows_per_epoch(); ++r) {
      const Batch b = rows.rows(*pool, r, 1);
      valid += b.valid_tokens;
      for (int64_t t = 0; t < length; ++t)
        if (b.targets_BT.at(t) >= 0) seen.push_back(static_cast<int32_t>(b.targets_BT.at(t)));
    }
    EXPECT_EQ(seen, all) << length;
    EXPECT_EQ(valid, std::ssize(all)) << length;
  }
}

TEST_F(Data, NothingButEmptyDocumentsIsRefused) {
  const std::string empty = tokens("empty.tokens", {"", "", "", ""}), full = tokens("full.tokens", {"abc", ""});
  for (bool fill : {false, true}) {
    const LoaderOptions options{.sequence_length = 2, .fill_last_row = fill};
    expect_refused([&] { Loader("data.train", {{{empty}, 0}}, options, 257, "bytes"); }, "all documents (4) are empty");
    EXPECT_EQ(Loader("data.train", {{{empty, full}, 0}}, options, 257, "bytes").num_empty_documents(), 5);
  }
}

TEST_F(Data, EpochsVisitEveryRowOnceInAnOrderOfTheirOwn) {
  std::string text;
  for (int i = 0; i < 97; ++i) text += fmt::format("{:03}-", i);
  const Loader rows = loader({{{tokens("a.tokens", {text}), tokens("b.tokens", {text})}, 1}}, 4);
  auto pool = Pool::create();
  const int64_t n = rows.rows_per_epoch();
  std::vector<std::vector<double>> order(2);
  for (int64_t epoch : {0, 1}) {
    const Batch all = rows.rows(*pool, epoch * n, n);
    std::multiset<std::string> seen;
    for (int64_t r = 0; r < n; ++r) {
      std::string row;
      for (int64_t t = 0; t < 4; ++t) row += fmt::format("{} ", all.tokens_BT.at(r * 4 + t));
      seen.insert(row);
      order[static_cast<size_t>(epoch)].push_back(all.tokens_BT.at(r * 4 + 2));
      // Any cut into batches gives the same rows.
      const Batch one = rows.rows(*pool, epoch * n + r, 1);
      for (int64_t t = 0; t < 4; ++t) EXPECT_EQ(one.tokens_BT.at(t), all.tokens_BT.at(r * 4 + t));
    }
    const Loader plain = loader({{{path("a.tokens"), path("b.tokens")}, 1}}, 4, true, false);
    std::multiset<std::string> expected;
    const Batch in_order = plain.rows(*pool, 0, n);
    for (int64_t r = 0; r < n; ++r) {
      std::string row;
      for (int64_t t = 0; t < 4; ++t) row += fmt::format("{} ", in_order.tokens_BT.at(r * 4 + t));
      expected.insert(row);
    }
    EXPECT_EQ(seen, expected);
  }
  EXPECT_NE(order[0], order[1]);
}

TEST_F(Data, MixturesKeepTheirSharesAndAnyCutGivesTheSameRows) {
  const std::string a = tokens("a.tokens", {std::string(400, 'a')}), b = tokens("b.tokens", {std::string(900, 'b')});
  auto pool = Pool::create();
  const auto share_of_a = [&](double weight_a, double weight_b) {
    const Loader rows = loader({{{a}, weight_a}, {{b}, weight_b}}, 4);
    const Batch batch = rows.rows(*pool, 0, 2000);
    int64_t from_a = 0;
    for (int64_t r = 0; r < 2000; ++r) from_a += batch.targets_BT.at(r * 4) == 'a';
    return static_cast<double>(from_a) / 2000;
  };
  EXPECT_EQ(share_of_a(3, 1), 0.75);
  EXPECT_EQ(share_of_a(1, 1), 0.5);
  EXPECT_EQ(share_of_a(0, 3), 0.25);                    // no weight beside one: 1
  EXPECT_NEAR(share_of_a(0, 0), 401.0 / 1302.0, 0.01);  // no weights: by size
  try {
    share_of_a(1, 1e6);
    ADD_FAILURE() << "a weight too small for any row was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.status(), Status::usage);
  }
  const Loader rows = loader({{{a}, 2}, {{b}, 1}}, 4);
  EXPECT_EQ(rows.identity(), loader({{{tokens("c.tokens", {std::string(400, 'a')})}, 2}, {{b}, 1}}, 4).identity());
  EXPECT_NE(rows.identity(), loader({{{a}, 3}, {{b}, 1}}, 4).identity());
  EXPECT_NE(rows.identity(), loader({{{b}, 2}, {{a}, 1}}, 4).identity());
  EXPECT_NE(rows.identity(), loader({{{tokens("d.tokens", {std::string(400, 'x')})}, 2}, {{b}, 1}}, 4).identity());
  const Batch whole = rows.rows(*pool, 700, 900);  // over the borders of cycles and epochs
  for (int64_t at = 0, count = 1; at < 900; at += count, count = 1 + count * 3 % 11) {
    count = std::min(count, 900 - at);
    const Batch piece = loader({{{a}, 2}, {{b}, 1}}, 4).rows(*pool, 700 + at, count);
    for (int64_t i = 0; i < count * 4; ++i) {
      ASSERT_EQ(piece.tokens_BT.at(i), whole.tokens_BT.at(at * 4 + i));
      ASSERT_EQ(piece.targets_BT.at(i), whole.targets_BT.at(at * 4 + i));
    }
  }
}

TEST(Permuted, IsAPermutationAndDependsOnTheKey) {
  for (int64_t n : {1, 2, 3, 64, 1000}) {
    std::set<int64_t> seen;
    for (int64_t i = 0; i < n; ++i) seen.insert(permuted(9, i, n));
    EXPECT_EQ(static_cast<int64_t>(seen.size()), n);
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), n - 1);
  }
  int64_t same = 0;
  for (int64_t i = 0; i < 1000; ++i) same += permuted(9, i, 1000) == permuted(10, i, 1000);
  EXPECT_LT(same, 20);
}

}  // namespace
}  // namespace og

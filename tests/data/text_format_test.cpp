// What a data file is and what in it is bad: names, content, lines of JSON, byte order marks, compressed files that are
// damaged or unusual.
#include <gtest/gtest.h>

#include <cstdlib>

#include "framework/data/file_name.h"
#include "framework/data/prepare.h"
#include "framework/data/token_file.h"
#include "tests/files.h"

namespace og {
namespace {

using Texts = std::vector<std::string>;

class TextFormat : public FolderTest {
 protected:
  // The bytes of `text` as `command` packs them.
  std::string packed(const std::string& command, const std::string& text) const {
    const std::string in = write("to-pack", text);
    EXPECT_EQ(std::system(fmt::format("{} <{} >{}.out", command, in, in).c_str()), 0);
    return file_bytes(in + ".out");
  }
  static Texts texts(const std::string& p, const TextRules& rules = {}, bool needs_utf8 = true) {
    Texts found;
    for_each_document(p, rules, needs_utf8, [&](const std::string& t) { found.push_back(t); });
    return found;
  }
  static void expect_refused(const std::string& p, const Texts& parts, const TextRules& rules = {}) {
    const std::string message = message_of(Status::data, [&] { texts(p, rules, false); });
    for (const std::string& part : parts) EXPECT_TRUE(contains(message, part)) << message;
    EXPECT_TRUE(message.starts_with(p)) << message;
  }
};

const TextRules kText{.format = TextRules::Format::text}, kLines{.format = TextRules::Format::jsonl},
    kSkip{.skip_bad_lines = true};

TEST_F(TextFormat, NamesAreReadWithoutCase) {
  for (const char* name : {"a.jsonl", "a.JSONL", "a.ndjson.gz", "a.NdJson.GZ", "a.jsonlines", "a.jl", "a.ldjson.zstd"})
    EXPECT_EQ(name_says(name), NameSays::lines) << name;
  for (const char* name : {"c4.json.gz", "x.JSON", "en.noblocklist.00000.json.ZST"})
    EXPECT_EQ(name_says(name), NameSays::json) << name;
  for (const char* name : {"a.txt", "jsonl", "a.jsonl.txt", "json.gz", ""})
    EXPECT_EQ(name_says(name), NameSays::nothing) << name;
  EXPECT_EQ(packing_of("A.GZ"), "gzip");
  EXPECT_EQ(without_packing("A.json.GZ"), "A.json");
  const std::string tokens = write("T.TOKENS", "text");
  EXPECT_TRUE(TokenFile::is_token_file(tokens));
}

TEST_F(TextFormat, LinesOfJsonAreLinesUnderAnyName) {
  const std::string lines = "\n{\"text\": \"first\"}\n\n{\"id\": 3, \"text\": \"second\\n\"}\r\n{\"text\": \"\"}";
  const Texts expected{"first", "second\n", ""};
  for (const char* name : {"a.jsonl", "a.NDJSON", "a.json", "part-00000", "a.txt"})
    EXPECT_EQ(texts(write(name, lines)), expected) << name;
  for (const char* name : {"c4.json.gz", "C4.JSON.GZ", "part", "noted.txt"})
    EXPECT_EQ(texts(write(name, packed("gzip", lines))), expected) << name;
  // A first line far longer than a block.
  const std::string longest(3000000, 'x');
  EXPECT_EQ(texts(write("long", fmt::format("{{\"text\": \"{}\"}}\n{{\"text\": \"b\"}}\n", longest))),
            (Texts{longest, "b"}));
  EXPECT_EQ(texts(path("a.txt"), kText), (Texts{lines}));  // unless the key says so
  EXPECT_EQ(texts(write("line.json", "{\"text\": \"alone\"}")), (Texts{"alone"}));
}

TEST_F(TextFormat, TextStaysText) {
  for (const char* text :
       {"plain\n", "{\n  int x;\n}\n", "{a}\n", "[1, 2]\n[3]\n", "{\\bf bold}\n", "\n\n text", "\"text\"\n"})
    EXPECT_EQ(texts(write("a.txt", text)), (Texts{text}));
  // A list and a tree of JSON under names that promise nothing.
  EXPECT_EQ(texts(write("a.txt", "[\n{\"text\": \"a\"}\n]\n")).size(), 1U);
  EXPECT_EQ(texts(write("a.txt", "{\n\"text\": \"a\"\n}\n")).size(), 1U);
  EXPECT_EQ(texts(write("blank.txt", std::string(10000, ' ').append("x"))).size(), 1U);
}

TEST_F(TextFormat, JsonThatIsNoLinesIsRefusedWithTheCommandThatMakesThem) {
  const std::string array = "[{\"text\": \"a\"}, {\"text\": \"b\"}]\n",
                    spread = "[\n  {\"text\": \"a\"},\n {\"text\": \"b\"}\n]\n";
  for (const std::string& text : {array, spread}) {
    expect_refused(write("a.json", text), {"JSON array", "jq -c '.[]'", "a.jsonl", "data.format"});
    expect_refused(write("a.ndjson", text), {"JSON array", "jq"});
    expect_refused(write("a.txt", text), {"JSON array", "jq"}, kLines);
    expect_refused(path("a.json"), {"JSON array"}, kSkip);
    expect_refused(write("a.json.gz", packed("gzip", text)), {"zcat", "jq -c '.[]'", "a.jsonl"});
    expect_refused(write("a.JSON.zst", packed("zstd", text)), {"zstdcat", "a.jsonl"});
    EXPECT_EQ(texts(path("a.json"), kText), (Texts{text}));
  }
  expect_refused(write("p.json", "{\n  \"text\": \"a\"\n}\n"), {"over several lines", "jq -c .", "p.jsonl"});
  expect_refused(write("p.json", "{ \"text\": \"a\",\n  \"id\": 1}\n"), {"over several lines"});
  expect_refused(write("b.json", "text\n"), {"data.format", ".json"});
  // An array as one line of several is a bad line.
  const std::string bad = write("bad.jsonl", "[1]\n{\"text\": \"a\"}\n");
  expect_refused(bad, {"bad.jsonl:1", "an array"});
  EXPECT_EQ(texts(bad, kSkip), (Texts{"a"}));
}

TEST_F(TextFormat, WhatIsNotSureIsRefusedWithTheKeyThatDecides) {
  const std::string other = write("other.txt", "{\"content\": \"a\", \"id\": 3}\n");
  expect_refused(other, {"\"content\", \"id\"", "data.text_field", "data.format"});
  EXPECT_EQ(texts(other, {.text_field = "content"}), (Texts{"a"}));
  EXPECT_EQ(texts(other, kText).size(), 1U);
  expect_refused(other, {"other.txt:1", "no \"text\""}, kLines);
  expect_refused(write("faulty", "{\"text\": \"\\ud800\"}\n{\"text\": \"a\"}\n"), {"surrogate", "data.format"});
  expect_refused(write("null", "{\"text\": null}\n{\"text\": \"a\"}\n"), {"null:1", "is null"});
  for (const auto& [format, bad_lines] : {std::pair{"lines", "refuse"}, std::pair{"auto", "drop"}}) try {
      text_rules("text", format, bad_lines);
      ADD_FAILURE() << format << " and " << bad_lines << " were accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.status(), Status::usage);
    }
}

TEST_F(TextFormat, BadLinesAreNamedOrLeftOutAndCounted) {
  const std::vector<std::pair<std::string, std::string>> bad{
      {"{\"text\": null}", "is null"},
      {"{\"text\": 3}", "is an integer"},
      {"{\"text\": [\"a\"]}", "is an array"},
      {"{\"texts\": \"a\"}", "no \"text\" (the members \"texts\")"},
      {"[]", "an array"},
      {"{\"text\": \"a\\u0000b\"}", "a NUL character"},
      {std::string("{\"text\": \"ab\"}\0\0", 16), "a NUL byte"},
      {"{\"text\": \"\\udc00\"}", "a lone surrogate"},
      {"{\"text\": \"\\ud800x\"}", "a lone surrogate"},
      {"{\"text\": \"a\"", "not JSON"},
      {"{\"text\": \"a\"} {}", "not JSON"},
      {"{\"text\": \"\xE9\"}", "ill-formed UTF-8"}};
  std::string all = "{\"text\": \"first\"}\n";
  for (const auto& [line, what] : bad) {
    expect_refused(write("one.jsonl", "{\"text\": \"first\"}\n\n" + line + "\n"),
                   {"one.jsonl:3: ", what, "data.bad_lines"});
    all += line + "\n";
  }
  all += "{\"text\": \"last \\ud83d\\ude00\"}";
  const std::string file = write("all.jsonl", all);
  EXPECT_EQ(texts(file, kSkip), (Texts{"first", "last \xF0\x9F\x98\x80"}));
  const auto bytes = make_tokenizer("bytes");
  const Prepared made = prepare_tokens({file, file}, *bytes, kSkip, path("all.tokens"));
  EXPECT_EQ(made.documents, 4);
  EXPECT_EQ(made.skipped_lines, 2 * std::ssize(bad));
  EXPECT_EQ(TokenFile(path("all.tokens"), true).skipped_lines(), 2 * std::ssize(bad));
  expect_refused(write("none.jsonl", "{\"text\": null}\n{\n"), {"no good line", "2 of 2"}, kSkip);
  // A file that is no lines is not made so, and a binary one is refused as before.
  expect_refused(write("nul.txt", std::string("a\0b", 3)), {"binary"}, kSkip);
}

TEST_F(TextFormat, TheCacheKnowsHowAFileWasRead) {
  ASSERT_EQ(setenv("ONEGATHER_CACHE", path("cache").c_str(), 1), 0);
  const auto bytes = make_tokenizer("bytes");
  const std::string good = "{\"text\": \"a\"}\n", file = write("a.jsonl", good);
  const std::string lines = cached_tokens(file, *bytes, {});
  EXPECT_EQ(TokenFile(lines).num_tokens(), 2);
  EXPECT_EQ(cached_tokens(write("same.txt", good), *bytes, {}), lines);  // by what it is, not by its name
  EXPECT_EQ(cached_tokens(file, *bytes, kLines), lines);
  const std::string text = cached_tokens(file, *bytes, kText);
  EXPECT_EQ(TokenFile(text).num_tokens(), std::ssize(good) + 1);
  EXPECT_NE(cached_tokens(file, *bytes, kSkip), lines);
  const std::string bad = write("bad.jsonl", good + "{}\n");
  EXPECT_EQ(TokenFile(cached_tokens(bad, *bytes, kSkip)).skipped_lines(), 1);
  EXPECT_EQ(TokenFile(cached_tokens(bad, *bytes, kSkip)).num_tokens(), 2);
  EXPECT_THROW(cached_tokens(bad, *bytes, {}), Error);  // not what skip has left in the cache
  ASSERT_EQ(unsetenv("ONEGATHER_CACHE"), 0);
}

TEST_F(TextFormat, AByteOrderMarkIsNoText) {
  const std::string mark = "\xEF\xBB\xBF";
  EXPECT_EQ(texts(write("a.txt", mark + "hello " + mark)), (Texts{"hello " + mark}));  // at the start alone
  EXPECT_EQ(texts(write("a.txt.gz", packed("gzip", mark + "hello"))), (Texts{"hello"}));
  EXPECT_EQ(texts(write("a.txt.zst", packed("zstd", mark + "hello"))), (Texts{"hello"}));
  EXPECT_EQ(texts(write("a.jsonl", mark + "{\"text\": \"a\"}\n")), (Texts{"a"}));
  EXPECT_EQ(texts(write("lines", mark + "{\"text\": \"a\"}\n")), (Texts{"a"}));
  EXPECT_EQ(texts(write("two.txt", mark.substr(0, 2))  // no whole one
                  ,
                  {}, false),
            (Texts{mark.substr(0, 2)}));
  const auto bytes = make_tokenizer("bytes");
  EXPECT_EQ(prepare_tokens({path("a.txt.gz")}, *bytes, {}, path("a.tokens")).tokens, 6);
  EXPECT_EQ(TokenFile(path("a.tokens")).token(0), 'h');
  expect_refused(write("empty.txt", mark), {"empty"});
  expect_refused(write("wide.txt", std::string("\xFF\xFEh\0i\0", 6)), {"UTF-16", "iconv"});
}

TEST_F(TextFormat, GzipIsReadToItsEndOrRefused) {
  std::string a, b;
  for (int i = 0; i < 30; ++i) a += fmt::format("{{\"text\": \"a {}\"}}\n", i);
  for (int i = 0; i < 40000; ++i) b += fmt::format("{{\"text\": \"b {}\"}}\n", i * 7919 % 40009);
  const std::string first = packed("gzip", a), second = packed("gzip", b);
  EXPECT_EQ(texts(write("good.jsonl.gz", first + second + first)).size(), 40060U);
  EXPECT_EQ(texts(write("empty.jsonl.gz", first + packed("gzip", "") + first)).size(), 60U);
  const std::string good = fmt::format("1 gzip member of {} bytes of text, 30 lines", a.size());
  std::string broken = first + second;
  for (const size_t at : {size_t{0}, size_t{1}}) {  // its magic
    std::string damaged = broken;
    damaged[first.size() + at] ^= 0x10;
    expect_refused(write("magic.jsonl.gz", damaged), {"no gzip data", good});
  }
  // Method, somewhere in the data, checksum. Lines that the damage made bad do not end the reading before it is found.
  for (const size_t at : {first.size() + 2, first.size() + second.size() / 2, broken.size() - 8}) {
    std::string damaged = broken;
    damaged[at] ^= 0x55;
    expect_refused(write("damaged.jsonl.gz", damaged), {"damaged", good}, kSkip);
  }
  for (const std::string& tail : {std::string("tail"), std::string("\x1F"), std::string(512, '\0')})
    expect_refused(write("tail.jsonl.gz", first + tail),
                   {"follows the end", good, fmt::format("byte {} of", first.size())});
  expect_refused(write("cut.jsonl.gz", broken.substr(0, broken.size() - 1)), {"truncated", good});
  expect_refused(write("cut.jsonl.gz", second.substr(0, second.size() / 2)), {"truncated", "lines, which no checksum"});
  // What is bad in the lines is one thing, a damaged file another.
  expect_refused(path("tail.jsonl.gz"), {"follows the end"}, kSkip);
}

// A zstd frame of one raw block, its window as the descriptor byte says.
std::string raw_frame(int window, const std::string& text) {
  const auto block = static_cast<uint32_t>(text.size() << 3 | 1);
  std::string frame = "\x28\xB5\x2F\xFD";
  frame += '\0';
  frame += static_cast<char>(window);
  for (int i = 0; i < 3; ++i) frame += static_cast<char>(block >> 8 * i);
  return frame + text;
}

TEST_F(TextFormat, EveryValidZstdFileIsRead) {
  std::string a, b;
  for (int i = 0; i < 30; ++i) a += fmt::format("{{\"text\": \"a {}\"}}\n", i);
  for (int i = 0; i < 40000; ++i) b += fmt::format("{{\"text\": \"b {}\"}}\n", i * 7919 % 40009);
  const std::string first = packed("zstd", a), second = packed("zstd --no-check", b);
  const std::string skippable("\x50\x2A\x4D\x18\x04\x00\x00\x00\x01\x02\x03\x04", 12);
  const std::string other("\x5F\x2A\x4D\x18\x00\x00\x00\x00", 8);
  EXPECT_EQ(texts(write("a.jsonl.zst", skippable + first)).size(), 30U);  // as pzstd writes them
  EXPECT_EQ(texts(write("a", skippable + other + first + other + second + skippable)).size(), 40030U);
  EXPECT_EQ(texts(write("a.zst", packed("zstd", std::string(700000, 'x')))), (Texts{std::string(700000, 'x')}));
  // Windows of 256 MiB, of 1.75 GiB and of 2 GiB, the most that the library takes.
  for (const int window : {18 << 3, (20 << 3) + 6, 21 << 3})
    EXPECT_EQ(texts(write("long.txt.zst", raw_frame(window, "long"))), (Texts{"long"})) << window;
  expect_refused(write("long.txt.zst", raw_frame((21 << 3) + 1, "long")), {"2304 MiB of memory", "2048 MiB"});
  expect_refused(write("long.txt.zst", raw_frame(31 << 3, "long")), {"2097152 MiB of memory"});

  const std::string good = fmt::format("1 zstd frame of {} bytes of text, 30 lines", a.size());
  expect_refused(write("tail.jsonl.zst", first + "tail"), {"follows the end", good});
  expect_refused(write("tail.jsonl.zst", skippable + first + "\n"), {"follows the end", good});
  expect_refused(write("cut.jsonl.zst", first + second.substr(0, second.size() - 1)), {"truncated", good});
  expect_refused(write("cut.jsonl.zst", first + second.substr(0, 5)), {"truncated", good});
  expect_refused(write("cut.jsonl.zst", skippable.substr(0, 10)), {"truncated"});
  std::string damaged = first;
  damaged[first.size() - 2] ^= 0x55;  // its checksum
  expect_refused(write("sum.jsonl.zst", first + damaged), {"damaged", good});
}

TEST_F(TextFormat, OtherPackingsAreRefusedByName) {
  const std::string bzip2("BZh91AY&SY\x01\x02", 12), xz("\xFD\x37\x7A\x58\x5A\x00", 6);
  expect_refused(write("a.jsonl.bz2", bzip2), {"bzip2", "bunzip2"});
  expect_refused(write("a.jsonl.xz", xz), {"xz", "unxz"});
  expect_refused(write("a.zip", "PK\x03\x04"), {"zip", "unzip"});
  EXPECT_EQ(texts(write("a.txt", "BZh is how bzip2 files begin\n")).size(), 1U);
}

}  // namespace
}  // namespace og

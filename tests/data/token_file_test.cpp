// Token files from elsewhere: right checksums over wrong fields, offsets and ids.
#include <gtest/gtest.h>

#include <xxhash.h>

#include <cstring>
#include <functional>
#include <limits>
#include <set>

#include "framework/data/prepare.h"
#include "framework/data/token_file.h"
#include "framework/io/json.h"
#include "framework/program/commands/data.h"
#include "framework/program/commands/inspect.h"
#include "tests/files.h"

namespace og {
namespace {

// A token file as another program would write it.
struct Foreign {
  Json header = Json::object({{"dtype", "U16"},
                              {"tokens", 6},
                              {"documents", 2},
                              {"vocab_size", 257},
                              {"largest_id", 256},
                              {"tokenizer", "bytes"}});
  std::vector<int64_t> offsets{0, 3, 6};
  std::vector<uint16_t> ids{'a', 'b', 256, 'c', 'd', 256};
  std::string dropped;  // a field to leave out

  static std::string hash(const std::string& bytes) {
    return fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size()));
  }
  template <class T>
  static std::string bytes_of(const std::vector<T>& v) {
    return {reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T)};
  }
  std::string file() const {
    const std::string id_bytes = bytes_of(ids), offset_bytes = bytes_of(offsets);
    Json full = header;
    if (!full.find("ids_checksum")) full.set("ids_checksum", hash(id_bytes));
    full.set("offsets_checksum", hash(offset_bytes));
    Json kept = Json::object();
    for (const auto& [key, value] : full.members())
      if (key != dropped) kept.append(key, value);
    return assembled(kept.dump(), id_bytes, offset_bytes);
  }
  static std::string assembled(const std::string& text, const std::string& id_bytes, const std::string& offset_bytes) {
    const uint64_t fixed[3] = {1, text.size(), XXH3_64bits(text.data(), text.size())};
    std::string file = "OGTOKENS" + std::string(reinterpret_cast<const char*>(fixed), sizeof fixed) + text;
    file.resize(4096);
    file += id_bytes;
    file.resize((file.size() + 63) / 64 * 64);
    return file + offset_bytes;
  }
};

class TokenFiles : public FolderTest {
 protected:
  std::string path() const { return folder_ / "foreign.tokens"; }
  std::string write(const std::string& bytes) const { return FolderTest::write("foreign.tokens", bytes); }
  void expect_refused(const std::string& bytes, const std::string& part, bool verify_ids = false) const {
    const std::string message = message_of(Status::data, [&] { const TokenFile file(write(bytes), verify_ids); });
    EXPECT_TRUE(message.starts_with(path() + ": damaged token file: ")) << message;
    EXPECT_TRUE(contains(message, part)) << message;
  }
};

TEST_F(TokenFiles, AForeignFileThatIsRightIsTaken) {
  const TokenFile file(write(Foreign().file()), true);
  EXPECT_EQ(file.num_documents(), 2);
  EXPECT_EQ(file.document(1), (std::pair<int64_t, int64_t>{3, 6}));
  EXPECT_EQ(file.token(4), 'd');
  EXPECT_EQ(file.skipped_lines(), 0);
}

TEST_F(TokenFiles, EveryFieldHasItsTypeAndRange) {
  const int64_t most = std::numeric_limits<int64_t>::max();
  const std::vector<std::tuple<std::string, Json, std::string>> wrong{
      {"dtype", "F32", "dtype is F32, expected U16 or I32"},
      {"dtype", "u16", "dtype is u16"},
      {"dtype", 16, "dtype is 16 (an integer), expected a string"},
      {"dtype", "I32", "wrong checksum of the ids"},
      {"tokens", 6.0, "tokens is 6.0 (a number), expected an integer"},
      {"tokens", "6", "tokens is \"6\" (a string)"},
      {"tokens", -1, "tokens is -1"},
      {"tokens", most, "tokens is"},
      {"tokens", 5, "the number of tokens"},
      {"tokens", 600, "bytes, expected"},
      {"documents", Json(), "documents is null"},
      {"documents", -1, "documents is -1"},
      {"documents", most, "documents is"},
      {"documents", 1, "bytes, expected"},
      {"vocab_size", 0, "vocab_size is 0"},
      {"vocab_size", 100000, "vocab_size is 100000, expected 1 to 65536"},
      {"vocab_size", true, "vocab_size is true"},
      {"largest_id", 257, "largest_id is 257"},
      {"largest_id", -1, "largest_id is -1"},
      {"largest_id", most, "largest_id is"},
      {"tokenizer", 3, "tokenizer is 3"},
      {"tokenizer", "", "tokenizer is empty"},
      {"ids_checksum", 5, "ids_checksum is 5"},
      {"skipped_lines", -4, "skipped_lines is -4"}};
  for (const auto& [name, value, part] : wrong) {
    Foreign foreign;
    foreign.header.set(name, value);
    expect_refused(foreign.file(), part, true);
  }
  for (const char* name :
       {"dtype", "tokens", "documents", "vocab_size", "largest_id", "tokenizer", "ids_checksum", "offsets_checksum"}) {
    Foreign foreign;
    foreign.dropped = name;
    expect_refused(foreign.file(), fmt::format("header: no {}", name));
  }
  for (const char* text : {"[1, 2]", "\"OGTOKENS\"", "{\"dtype\": ", "null", ""})
    expect_refused(Foreign::assembled(text, "", ""), "header");
}

TEST_F(TokenFiles, OffsetsRiseFromZeroToTheNumberOfTokens) {
  const int64_t least = std::numeric_limits<int64_t>::min(), most = std::numeric_limits<int64_t>::max();
  const std::vector<std::pair<std::vector<int64_t>, std::string>> wrong{
      {{0, 5, 3, 6}, "offset 2 is 3, expected 5 to 6"},
      {{0, -1, 3, 6}, "offset 1 is -1"},
      {{0, least, 3, 6}, "offset 1 is -9223372036854775808"},
      {{0, 7, 6, 6}, "offset 1 is 7, expected 0 to 6"},
      {{0, most, 3, 6}, "offset 1 is 9223372036854775807"},
      {{1, 2, 3, 6}, "run from 1 to 6"},
      {{0, 2, 3, 5}, "run from 0 to 5"},
      {{0, 2, 3, 7}, "offset 3 is 7"}};
  for (const auto& [offsets, part] : wrong) {
    Foreign foreign;
    foreign.offsets = offsets;
    foreign.header.set("documents", 3);
    expect_refused(foreign.file(), part);
  }
  Foreign empty;  // an empty document shares its offset
  empty.offsets = {0, 3, 3, 6};
  empty.header.set("documents", 3);
  EXPECT_EQ(TokenFile(write(empty.file()), true).num_documents(), 3);
}

TEST_F(TokenFiles, IdsLieInTheVocabulary) {
  Foreign foreign;
  foreign.ids[4] = 300;
  expect_refused(foreign.file(), "token 4 is 300", true);
  foreign.ids[4] = 'd';
  foreign.header.set("largest_id", 255);
  expect_refused(foreign.file(), "largest_id is 255, the ids' is 256", true);
  // 32 bits wide, one negative.
  Foreign wide;
  wide.header.set("dtype", "I32").set("vocab_size", 100000);
  wide.ids = {5, 0, 0xFFFF, 0xFFFF, 256, 0, 1, 0, 2, 0, 3, 0};
  expect_refused(wide.file(), "token 1 is -1", true);
}

TEST_F(TokenFiles, TrainingAndBothInspectionsRefuseTheSame) {
  const auto bytes = make_tokenizer("bytes");
  std::vector<Foreign> wrong(4);
  wrong[0].offsets = {0, 7, 6};
  wrong[1].header.set("documents", "2");
  wrong[2].header.set("dtype", "U32");
  wrong[3].ids[0] = 999;
  for (const Foreign& foreign : wrong) {
    write(foreign.file());
    const std::vector<std::function<void()>> readers{[&] { cached_tokens(path(), *bytes, {}); },
                                                     [&] { inspect_command({path()}); },
                                                     [&] {
                                                       data_command({"inspect", path()});
                                                     }};
    std::set<std::string> messages;
    for (const auto& read : readers) try {
        read();
        ADD_FAILURE() << "a wrong token file was accepted";
      } catch (const Error& e) {
        EXPECT_EQ(e.status(), Status::data) << e.what();
        messages.insert(e.what());
      }
    EXPECT_EQ(messages.size(), 1U);
  }
  write(Foreign().file());
  EXPECT_EQ(cached_tokens(path(), *bytes, {}), path());
}

}  // namespace
}  // namespace og

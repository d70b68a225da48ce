#include "framework/io/safetensors.h"

#include "framework/io/json.h"
#include "tests/files.h"
#include "tests/tensors.h"

namespace og {
namespace {

std::string with_length(const std::string& header, const std::string& data) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i) & 255);
  return out + header + data;
}

TEST(json, round_trip_keeps_order_integers_and_every_digit) {
  const Json j = Json::object({{"b", 1},
                               {"a", 0.1},
                               {"whole", 2.0},
                               {"big", int64_t{9007199254740993}},
                               {"text", "quote \" tab \t newline \n \x01 \xc3\xa9"},
                               {"list", Json::array({true, Json(), -1e-300})}});
  for (int indent : {-1, 2}) {
    const Json back = Json::parse(j.dump(indent), "test");
    EXPECT_EQ(back.dump(), j.dump());
    EXPECT_EQ(back["big"].integer(), 9007199254740993);
    EXPECT_EQ(back["a"].real(), 0.1);
    EXPECT_EQ(back["whole"].kind(), Json::Kind::real);
    EXPECT_EQ(back["list"].items()[2].real(), -1e-300);
    EXPECT_EQ(back["text"].string(), j["text"].string());
    EXPECT_EQ(back.members()[0].first, "b");
  }
}

TEST(json, refuses_what_is_not_json_and_writes_only_json) {
  for (const std::string text : {"", "{", "{\"a\": 1,}", "{\"a\": 1, \"a\": 2}", "[1] 2", "nul", "\"\xff\""})
    EXPECT_TRUE(message_of(Status::data, [&] { Json::parse(text, "place"); }).starts_with("place: not JSON")) << text;
  EXPECT_TRUE(contains(message_of(Status::data, [&] { Json::parse(std::string(100000, '['), "x"); }), "nested deeper"));
  // Names of files are bytes: as text they survive, and text stays what it is.
  std::string every;
  for (int i = 0; i < 256; ++i) every += static_cast<char>(i);
  for (const std::string& s : {every, std::string("caf\xe9.txt"), std::string("caf\xc3\xa9.txt"),
                               std::string("\xee\xbe\x80\xee\xbf\xbf\xee\xbe"), std::string("\xed\xa0\x80")})
    EXPECT_EQ(unescaped_bytes(Json::parse(Json(escaped_bytes(s)).dump(), "x").string()), s);
  EXPECT_EQ(escaped_bytes("caf\xc3\xa9 \xef\xbf\xbd"), "caf\xc3\xa9 \xef\xbf\xbd");
  EXPECT_EQ(Json(std::string("a\xff\xc3(")).dump(), "\"a\xef\xbf\xbd\xef\xbf\xbd(\"");
  EXPECT_EQ(Json::array({NAN, INFINITY}).dump(), "[null, null]");
}

TEST(safetensors, round_trip) {
  Context cx;
  TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  const Tensor f32 = random_tensor(cx, {3, 5}, DType::f32, 1);
  const Tensor f64 = random_tensor(cx, {2, 1, 3}, DType::f64, 2);
  const Tensor empty = cx.empty({0, 4}, DType::f32);
  const Tensor scalar = Tensor::full(*cx.pool, {}, DType::f64, 0.5);
  const Tensor ids = Tensor::full(*cx.pool, {4}, DType::i32, -7);
  const Tensor longs = Tensor::full(*cx.pool, {1}, DType::i64, 1);
  longs.data<int64_t>()[0] = INT64_MIN;
  write_safetensors(path, {{"x", f32}, {"y", f64}, {"none", empty}, {"s", scalar}, {"i", ids}, {"l", longs}},
                    {{"made by", "a \"test\""}});
  const SafetensorsFile file(path);
  EXPECT_EQ(file.entries().size(), 6u);
  EXPECT_EQ(file.metadata(), (TextPairs{{"made by", "a \"test\""}}));
  EXPECT_EQ(file.header().size() % 64, 0u);
  for (const auto& [name, tensor] :
       {std::pair{"x", f32}, {"y", f64}, {"none", empty}, {"s", scalar}, {"i", ids}, {"l", longs}}) {
    ASSERT_NE(file.find(name), nullptr) << name;
    EXPECT_TRUE(same_bits(file.read(*cx.pool, *file.find(name)), tensor)) << name;
  }
  EXPECT_EQ(file.find("z"), nullptr);
  EXPECT_FALSE(std::filesystem::exists(path + ".part"));
}

TEST(safetensors, half_types_are_read_as_float) {
  Context cx;
  TemporaryFolder folder;
  const std::string path = folder / "half";
  // 1, -2, smallest subnormal, largest, infinity
  const uint16_t f16[] = {0x3C00, 0xC000, 0x0001, 0x7BFF, 0x7C00};
  const uint16_t bf16[] = {0x3F80, 0xC000, 0x0001, 0x7F7F, 0x7F80};
  std::string data(reinterpret_cast<const char*>(f16), 10);
  data.append(reinterpret_cast<const char*>(bf16), 10);
  write_file(path, with_length(R"({"h":{"dtype":"F16","shape":[5],"data_offsets":[0,10]},)"
                               R"("b":{"dtype":"BF16","shape":[5],"data_offsets":[10,20]}})",
                               data));
  const SafetensorsFile file(path);
  const Tensor h = file.read(*cx.pool, *file.find("h")), b = file.read(*cx.pool, *file.find("b"));
  const double expected_h[] = {1, -2, 0x1p-24, 65504, INFINITY};
  const double expected_b[] = {1, -2, 0x1p-133, 0x1.FEp127, INFINITY};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(h.at(i), expected_h[i]);
    EXPECT_EQ(b.at(i), expected_b[i]);
  }
}

TEST(safetensors, a_file_cut_anywhere_is_refused_by_name) {
  Context cx;
  TemporaryFolder folder;
  const std::string whole = folder / "whole", cut = folder / "cut";
  write_safetensors(whole, {{"x", random_tensor(cx, {3, 5}, DType::f32, 1)}});
  const std::string bytes = file_bytes(whole);
  for (size_t n = 0; n < bytes.size(); ++n) {
    write_file(cut, bytes.substr(0, n));
    EXPECT_TRUE(contains(message_of(Status::data, [&] { SafetensorsFile{cut}; }), cut)) << n;
  }
  write_file(cut, bytes + "x");
  EXPECT_TRUE(contains(message_of(Status::data, [&] { SafetensorsFile{cut}; }), "1 bytes follow"));
}

TEST(safetensors, damaged_headers_are_refused_with_the_reason) {
  TemporaryFolder folder;
  const std::string path = folder / "bad";
  const std::string eight(8, 'x');
  const std::pair<std::string, const char*> cases[] = {
      {with_length("[]", eight), "not an object"},
      {with_length("{]", eight), "not JSON"},
      {with_length(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", eight), "needs 12 bytes"},
      {with_length(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", eight), "truncated"},
      {with_length(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", eight), "impossible shape"},
      {with_length(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", eight),
       "impossible shape"},
      {with_length(R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", eight), "unknown type F31"},
      {with_length(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", eight), "truncated or damaged"},
      {with_length(R"({"a":{"dtype":"F32","shape":[2]}})", eight), "data_offsets"},
      {with_length(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight), "hole"},
      {with_length(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,8]}})", eight), "expected an integer"},
      {with_length(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                   R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                   eight),
       "overlap"},
      {with_length(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                   R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                   eight),
       "appears twice"},
      {"#!/bin/sh\necho this is a program\n", "not a safetensors file"},
  };
  for (const auto& [bytes, reason] : cases) {
    write_file(path, bytes);
    const std::string message = message_of(Status::data, [&] { SafetensorsFile{path}; });
    EXPECT_TRUE(contains(message, path) && contains(message, reason)) << message << " / " << reason;
  }
  EXPECT_TRUE(contains(message_of(Status::data, [&] { SafetensorsFile{folder / "absent"}; }), "No such file"));
  EXPECT_TRUE(contains(message_of(Status::data, [&] { SafetensorsFile{folder.path()}; }), "Is a directory"));
}

TEST(safetensors, types_that_cannot_be_read_are_named) {
  Context cx;
  TemporaryFolder folder;
  write_file(folder / "u8", with_length(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "xy"));
  const SafetensorsFile file(folder / "u8");
  EXPECT_TRUE(contains(message_of(Status::data, [&] { file.read(*cx.pool, *file.find("a")); }), "type U8"));
}

TEST(safetensors, an_unwritable_place_is_refused_and_leaves_nothing) {
  Context cx;
  TemporaryFolder folder;
  const Tensor x = cx.zeros({2}, DType::f32);
  EXPECT_TRUE(contains(message_of(Status::data,
                                  [&] {
                                    write_safetensors(folder / "no/x", {{"x", x}});
                                  }),
                       "cannot write"));
  std::filesystem::create_directory(folder / "taken");
  message_of(Status::data, [&] { write_safetensors(folder / "taken", {{"x", x}}); });
  EXPECT_FALSE(std::filesystem::exists(folder / "taken.part"));
}

}  // namespace
}  // namespace og

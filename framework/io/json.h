// Json: a value as JSON writes it, for indexes, metrics and summaries. Objects keep the order of insertion. Integers
// stay integers; reals are written with the fewest digits that read back the same; NaN and infinity are written as
// null. A plain value: copies are deep. nlohmann-json is behind json.cpp alone.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace og {

class Json {
 public:
  enum class Kind : uint8_t { null, boolean, integer, real, string, array, object };
  using Member = std::pair<std::string, Json>;

  Json() = default;  // null
  Json(bool b) : kind_(Kind::boolean), integer_(b) {}
  Json(int i) : kind_(Kind::integer), integer_(i) {}
  Json(int64_t i) : kind_(Kind::integer), integer_(i) {}
  Json(double r) : kind_(Kind::real), real_(r) {}
  Json(const char* s) : kind_(Kind::string), string_(s) {}
  Json(std::string s) : kind_(Kind::string), string_(std::move(s)) {}
  static Json array(std::vector<Json> items = {});
  static Json object(std::initializer_list<Member> members = {});

  Kind kind() const { return kind_; }
  const char* kind_name() const;
  bool is_null() const { return kind_ == Kind::null; }

  // A value of another kind than asked for: Error(Status::data) that says both. real() takes integers too.
  bool boolean() const;
  int64_t integer() const;
  double real() const;
  const std::string& string() const;
  const std::vector<Json>& items() const;
  const std::vector<Member>& members() const;

  const Json* find(std::string_view key) const;        // null: no such member, or not an object
  const Json& operator[](std::string_view key) const;  // missing: Error(Status::data) naming the key

  Json& push(Json item);                      // to an array
  Json& set(std::string key, Json value);     // to an object: adds or replaces
  Json& append(std::string key, Json value);  // to an object that does not have the key

  // One line; with indent >= 0 one member or item a line.
  std::string dump(int indent = -1) const;
  // Error(Status::data) "<where>: not JSON: ..." if it is not one, if an object has a key twice, or if it nests deeper
  // than 100.
  static Json parse(std::string_view text, const std::string& where);

 private:
  void write(std::string& out, int indent, int depth) const;
  Kind kind_ = Kind::null;
  int64_t integer_ = 0;
  double real_ = 0;
  std::string string_;
  std::vector<Json> items_;
  std::vector<Member> members_;
};

// A string of any bytes, such as a file name, as UTF-8 that survives JSON, and back. Text stays as it is; a byte b >=
// 80 (hex) of no valid character becomes the private character U+EF00 + b, and so do the bytes of those characters
// themselves.
std::string escaped_bytes(std::string_view bytes);
std::string unescaped_bytes(std::string_view text);

}  // namespace og

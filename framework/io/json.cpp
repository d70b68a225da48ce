#include "framework/io/json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "framework/core/error.h"
#include "framework/core/problem.h"
#include "framework/core/utf8.h"

namespace og {

namespace {

constexpr size_t kMaxDepth = 100;
constexpr const char* kKindNames[] = {"null",     "a boolean", "an integer", "a number",
                                      "a string", "an array",  "an object"};

[[noreturn]] void wrong_kind(Json::Kind expected, const Json& found) {
  fail(Status::data, "JSON: expected {}, found {}", kKindNames[static_cast<size_t>(expected)], found.kind_name());
}

// U+EF80 to U+EFFF, three bytes EE BE 80 to EE BF BF: what escaped_bytes makes of single bytes.
bool is_escape(std::string_view s, size_t i) {
  return i + 2 < s.size() && s[i] == '\xee' && (s[i + 1] == '\xbe' || s[i + 1] == '\xbf') && character_at(s, i) == 3;
}

// Bytes that are not UTF-8 become the replacement character, so that every line is JSON.
void write_string(std::string& out, std::string_view s) {
  out += '"';
  for (size_t i = 0; i < s.size();) {
    const size_t n = character_at(s, i);
    if (n == 0) {
      out += "\xef\xbf\xbd";
      ++i;
      continue;
    }
    const char c = s[i];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (n == 1 && static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += s.substr(i, n);
    }
    i += n;
  }
  out += '"';
}

// Builds the value without recursion.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Json result;
  std::optional<Problem> problem;

  bool null() override { return put({}); }
  bool boolean(bool b) override { return put(b); }
  bool number_integer(int64_t i) override { return put(i); }
  bool number_unsigned(uint64_t u) override {
    return u <= static_cast<uint64_t>(INT64_MAX) ? put(static_cast<int64_t>(u)) : put(static_cast<double>(u));
  }
  bool number_float(double r, const std::string&) override { return put(r); }
  bool string(std::string& s) override { return put(std::move(s)); }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& k) override {
    if (stack_.back().value.find(k)) return refuse(fmt::format("the key \"{}\" appears twice", k));
    stack_.back().key = std::move(k);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& e) override {
    std::string what = e.what();  // "[json.exception.parse_error.101] parse error at line 1, column 5: ..."
    if (const size_t end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
    return refuse(fmt::format("{} (byte {})", what, position));
  }

 private:
  struct Open {
    Json value;
    std::string key;  // names the member that comes next
  };
  bool refuse(std::string why) {
    problem = Problem{std::move(why)};
    return false;
  }
  bool open(Json value) {
    if (stack_.size() >= kMaxDepth) return refuse(fmt::format("nested deeper than {}", kMaxDepth));
    stack_.push_back({std::move(value), {}});
    return true;
  }
  bool close() {
    Json done = std::move(stack_.back().value);
    stack_.pop_back();
    return put(std::move(done));
  }
  bool put(Json value) {
    if (stack_.empty())
      result = std::move(value);
    else if (stack_.back().value.kind() == Json::Kind::array)
      stack_.back().value.push(std::move(value));
    else
      stack_.back().value.append(std::move(stack_.back().key), std::move(value));
    return true;
  }
  std::vector<Open> stack_;
};

}  // namespace

Json Json::array(std::vector<Json> items) {
  Json j;
  j.kind_ = Kind::array;
  j.items_ = std::move(items);
  return j;
}

Json Json::object(std::initializer_list<Member> members) {
  Json j;
  j.kind_ = Kind::object;
  j.members_ = members;
  return j;
}

const char* Json::kind_name() const { return kKindNames[static_cast<size_t>(kind_)]; }

bool Json::boolean() const {
  if (kind_ != Kind::boolean) wrong_kind(Kind::boolean, *this);
  return integer_ != 0;
}

int64_t Json::integer() const {
  if (kind_ != Kind::integer) wrong_kind(Kind::integer, *this);
  return integer_;
}

double Json::real() const {
  if (kind_ == Kind::integer) return static_cast<double>(integer_);
  if (kind_ != Kind::real) wrong_kind(Kind::real, *this);
  return real_;
}

const std::string& Json::string() const {
  if (kind_ != Kind::string) wrong_kind(Kind::string, *this);
  return string_;
}

const std::vector<Json>& Json::items() const {
  if (kind_ != Kind::array) wrong_kind(Kind::array, *this);
  return items_;
}

const std::vector<Json::Member>& Json::members() const {
  if (kind_ != Kind::object) wrong_kind(Kind::object, *this);
  return members_;
}

const Json* Json::find(std::string_view key) const {
  for (const Member& m : members_)
    if (m.first == key) return &m.second;
  return nullptr;
}

const Json& Json::operator[](std::string_view key) const {
  if (kind_ != Kind::object) wrong_kind(Kind::object, *this);
  const Json* found = find(key);
  if (!found) fail(Status::data, "JSON: an object without the key \"{}\"", key);
  return *found;
}

Json& Json::push(Json item) {
  if (kind_ != Kind::array) wrong_kind(Kind::array, *this);
  items_.push_back(std::move(item));
  return *this;
}

Json& Json::append(std::string key, Json value) {
  if (kind_ != Kind::object) wrong_kind(Kind::object, *this);
  members_.emplace_back(std::move(key), std::move(value));
  return *this;
}

Json& Json::set(std::string key, Json value) {
  for (Member& m : members_)
    if (m.first == key) {
      m.second = std::move(value);
      return *this;
    }
  return append(std::move(key), std::move(value));
}

void Json::write(std::string& out, int indent, int depth) const {
  const auto line = [&](int at) {
    if (indent >= 0) {
      out += '\n';
      out.append(static_cast<size_t>(indent * at), ' ');
    }
  };
  const char* comma = indent >= 0 ? "," : ", ";
  switch (kind_) {
    case Kind::null:
      out += "null";
      break;
    case Kind::boolean:
      out += integer_ ? "true" : "false";
      break;
    case Kind::integer:
      out += fmt::format("{}", integer_);
      break;
    case Kind::real: {
      if (!std::isfinite(real_)) {
        out += "null";
        break;
      }
      const std::string digits = fmt::format("{}", real_);
      out += digits;
      if (digits.find_first_of(".e") == std::string::npos) out += ".0";
      break;
    }
    case Kind::string:
      write_string(out, string_);
      break;
    case Kind::array:
      out += '[';
      for (size_t i = 0; i < items_.size(); ++i) {
        if (i) out += comma;
        line(depth + 1);
        items_[i].write(out, indent, depth + 1);
      }
      if (!items_.empty()) line(depth);
      out += ']';
      break;
    case Kind::object:
      out += '{';
      for (size_t i = 0; i < members_.size(); ++i) {
        if (i) out += comma;
        line(depth + 1);
        write_string(out, members_[i].first);
        out += ": ";
        members_[i].second.write(out, indent, depth + 1);
      }
      if (!members_.empty()) line(depth);
      out += '}';
      break;
  }
}

std::string Json::dump(int indent) const {
  std::string out;
  write(out, indent, 0);
  return out;
}

Json Json::parse(std::string_view text, const std::string& where) {
  Builder builder;
  const bool whole = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!whole) fail(Status::data, "{}: not JSON: {}", where, builder.problem->text);
  return std::move(builder.result);
}

std::string escaped_bytes(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size();) {
    const size_t n = is_escape(bytes, i) ? 0 : character_at(bytes, i);
    if (n > 0) {
      text += bytes.substr(i, n);
    } else {
      const auto b = static_cast<unsigned char>(bytes[i]);
      text += {'\xee', static_cast<char>(0xBE + (b >= 0xC0)), static_cast<char>(0x80 | (b & 0x3F))};
    }
    i += std::max<size_t>(n, 1);
  }
  return text;
}

std::string unescaped_bytes(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    if (!is_escape(text, i)) {
      bytes += text[i++];
      continue;
    }
    bytes += static_cast<char>((text[i + 1] == '\xbf' ? 0xC0 : 0x80) | (text[i + 2] & 0x3F));
    i += 3;
  }
  return bytes;
}

}  // namespace og

// Errors. Everything that can go wrong is an Error carrying the exit status that the program will return; what() is the
// whole message a user sees. OG_CHECK is for programmer errors (status 1: it adds file and line); user mistakes call
// fail() with the status that README.md lists and say which key, file, line or rank, expected, found, what to do.
// Thread safe.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace og {

// Exit statuses of the program.
enum class Status : int {
  ok = 0,
  internal = 1,      // a bug
  usage = 2,         // wrong usage or config
  data = 3,          // data or checkpoint refused or not writable
  numbers = 4,       // NaN or infinity
  rank = 5,          // a rank or a collective failed
  interrupted = 130  // stopped on request, resumable
};

class Error : public std::runtime_error {
 public:
  Error(Status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  Status status() const { return status_; }

 private:
  Status status_;
};

// Memory ended: the limit of the user's machine or job, not a bug.
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(const std::string& message) : Error(Status::usage, message) {}
};

[[noreturn]] void throw_error(Status status, std::string message);
[[noreturn]] void check_failed(const char* file, int line, const char* condition, std::string message);

// fail(Status::usage, "train.num_steps: expected a whole number > 0, found {}", x)
template <class... Args>
[[noreturn]] void fail(Status status, fmt::format_string<Args...> format, Args&&... args) {
  throw_error(status, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace og

// OG_CHECK(a == b, "matmul: inner extents {} and {} differ", a, b)
#define OG_CHECK(condition, ...)                                                      \
  do {                                                                                \
    if (!(condition)) [[unlikely]]                                                    \
      ::og::check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)

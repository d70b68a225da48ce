#include "framework/core/error.h"

namespace og {

void throw_error(Status status, std::string message) { throw Error(status, message); }

void check_failed(const char* file, int line, const char* condition, std::string message) {
  throw Error(Status::internal, fmt::format("{} [{}:{}: {} is false]", message, file, line, condition));
}

}  // namespace og

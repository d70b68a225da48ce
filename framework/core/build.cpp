#include "framework/core/build.h"

#include <utility>

namespace og {

namespace {
std::string& build_text() {
  static std::string text = "unknown";
  return text;
}
}  // namespace

void set_build(std::string build) { build_text() = std::move(build); }
const std::string& build() { return build_text(); }

}  // namespace og

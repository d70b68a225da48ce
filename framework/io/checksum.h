// XXH3, 128 bits, as 32 hexadecimal digits. Finds accidents, not attackers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace og {

std::string checksum(std::span<const std::byte> bytes);
// The same, for bytes that take a while: `watch` is told now and then how many were taken, and may end it by throwing.
std::string checksum(std::span<const std::byte> bytes, const std::function<void(int64_t)>& watch);
std::string checksum(std::string_view text);

// The same of bytes that come in pieces.
class RunningChecksum {
 public:
  RunningChecksum();
  void add(std::span<const std::byte> bytes);
  std::string value() const;  // covers all that was added

 private:
  struct Free {
    void operator()(void* state) const;
  };
  std::unique_ptr<void, Free> state_;
};

}  // namespace og

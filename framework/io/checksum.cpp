#include "framework/io/checksum.h"

#include <fmt/core.h>
#include <xxhash.h>

namespace og {

std::string checksum(std::span<const std::byte> bytes) {
  const XXH128_hash_t h = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

std::string checksum(std::string_view text) { return checksum(std::as_bytes(std::span(text))); }

}  // namespace og

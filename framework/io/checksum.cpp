#include "framework/io/checksum.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <memory>

namespace og {

namespace {
std::string hexadecimal(XXH128_hash_t h) { return fmt::format("{:016x}{:016x}", h.high64, h.low64); }
}  // namespace

std::string checksum(std::span<const std::byte> bytes) { return hexadecimal(XXH3_128bits(bytes.data(), bytes.size())); }

std::string checksum(std::span<const std::byte> bytes, const std::function<void(int64_t)>& watch) {
  constexpr size_t kAtOnce = size_t{1} << 24;
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  for (size_t at = 0; at < bytes.size(); at += kAtOnce) {
    const size_t size = std::min(kAtOnce, bytes.size() - at);
    XXH3_128bits_update(state.get(), bytes.data() + at, size);
    watch(static_cast<int64_t>(at + size));
  }
  return hexadecimal(XXH3_128bits_digest(state.get()));
}

std::string checksum(std::string_view text) { return checksum(std::as_bytes(std::span(text))); }

}  // namespace og

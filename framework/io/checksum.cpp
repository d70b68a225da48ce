#include "framework/io/checksum.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <new>

namespace og {

namespace {

std::string digits(const XXH128_hash_t& h) { return fmt::format("{:016x}{:016x}", h.high64, h.low64); }

}  // namespace

std::string checksum(std::span<const std::byte> bytes) { return digits(XXH3_128bits(bytes.data(), bytes.size())); }

std::string checksum(std::span<const std::byte> bytes, const std::function<void(int64_t)>& watch) {
  constexpr size_t kAtOnce = size_t{1} << 24;
  RunningChecksum sum;
  for (size_t at = 0; at < bytes.size(); at += kAtOnce) {
    const size_t size = std::min(kAtOnce, bytes.size() - at);
    sum.add(bytes.subspan(at, size));
    watch(static_cast<int64_t>(at + size));
  }
  return sum.value();
}

std::string checksum(std::string_view text) { return checksum(std::as_bytes(std::span(text))); }

RunningChecksum::RunningChecksum() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_.get()));
}

void RunningChecksum::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_.get()), bytes.data(), bytes.size());
}

std::string RunningChecksum::value() const {
  return digits(XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_.get())));
}

void RunningChecksum::Free::operator()(void* state) const { XXH3_freeState(static_cast<XXH3_state_t*>(state)); }

}  // namespace og

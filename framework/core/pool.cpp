#include "framework/core/pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "framework/core/error.h"
#include "framework/core/memory_margin.h"
#include "framework/core/text.h"

namespace og {

namespace {
constexpr int64_t kAlignment = 64;
constexpr int64_t kReuse = 8;  // a settled pool serves a request from a block up to this many times larger
constexpr int64_t kAskedFor = int64_t{1} << 16;
std::string text(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }
}  // namespace

struct Pool::Lists {
  mutable std::mutex mutex;
  std::map<int64_t, std::vector<std::byte*>> free;
  PoolStats stats;
  bool settled = false;
};

bool Pool::poison_by_default() {
  const char* value = std::getenv("ONEGATHER_POISON");
  return value != nullptr && std::strcmp(value, "1") == 0;
}

int64_t Pool::size_class(int64_t bytes) {
  const int64_t least = std::max<int64_t>(bytes, kAlignment);
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(least)));
  const int64_t step = std::max<int64_t>(power / 8, kAlignment);
  return (least + step - 1) / step * step;
}

Pool::Pool(bool poison) : lists_(std::make_unique<Lists>()), poison_(poison) {}

std::shared_ptr<Pool> Pool::create(bool poison) { return std::shared_ptr<Pool>(new Pool(poison)); }

Pool::~Pool() {
  for (auto& [size, blocks] : lists_->free)
    for (std::byte* block : blocks) ::operator delete (block, std::align_val_t{kAlignment});
}

std::shared_ptr<std::byte> Pool::allocate(int64_t bytes) {
  OG_CHECK(bytes >= 0, "allocation of {} bytes", bytes);
  int64_t size = size_class(bytes);
  std::byte* block = nullptr;
  {
    std::lock_guard lock(lists_->mutex);
    auto& stats = lists_->stats;
    auto found = lists_->free.lower_bound(size);
    while (found != lists_->free.end() && found->second.empty()) ++found;
    if (found != lists_->free.end() && found->first <= (lists_->settled ? kReuse * size : size)) {
      size = found->first;
      block = found->second.back();
      found->second.pop_back();
    } else {
      stats.system_calls += 1;
      stats.held_bytes += size;
    }
    stats.live_bytes += size;
    if (block != nullptr) stats.peak_bytes = std::max(stats.peak_bytes, stats.live_bytes);
  }
  if (block == nullptr) {
    block =
        static_cast<std::byte*>(::operator new (static_cast<size_t>(size), std::align_val_t{kAlignment}, std::nothrow));
    // Small ones come from pages that are there; asking for each would cost more than they do.
    if (block != nullptr && size >= kAskedFor && !memory_is_left(kMemoryMargin)) {
      ::operator delete (block, std::align_val_t{kAlignment});
      block = nullptr;
    }
    const std::lock_guard lock(lists_->mutex);
    PoolStats& stats = lists_->stats;
    if (block == nullptr) {
      stats.live_bytes -= size;
      stats.held_bytes -= size;
      throw OutOfMemory(fmt::format("out of memory: no {} for a tensor; {} are in tensors now and {} held in all",
                                    text(size), text(stats.live_bytes), text(stats.held_bytes)));
    }
    stats.peak_bytes = std::max(stats.peak_bytes, stats.live_bytes);
  }
  if (poison_) std::memset(block, 0xFF, static_cast<size_t>(size));
  return {block, [self = shared_from_this(), size](std::byte* p) { self->release(p, size); }};
}

std::shared_ptr<std::byte> Pool::reserve_zeros(int64_t bytes) {
  const int64_t size = size_class(bytes);
  void* block = mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (block == MAP_FAILED) throw OutOfMemory(fmt::format("out of memory: no {} of address space", text(size)));
  const std::lock_guard lock(lists_->mutex);
  PoolStats& stats = lists_->stats;
  stats.system_calls += 1;
  stats.held_bytes += size;
  stats.live_bytes += size;
  stats.peak_bytes = std::max(stats.peak_bytes, stats.live_bytes);
  return {static_cast<std::byte*>(block), [self = shared_from_this(), size](std::byte* p) {
            munmap(p, static_cast<size_t>(size));
            const std::lock_guard unlocked(self->lists_->mutex);
            self->lists_->stats.held_bytes -= size;
            self->lists_->stats.live_bytes -= size;
          }};
}

void Pool::release(std::byte* block, int64_t size) {
  std::lock_guard lock(lists_->mutex);
  lists_->free[size].push_back(block);
  lists_->stats.live_bytes -= size;
}

PoolStats Pool::stats() const {
  std::lock_guard lock(lists_->mutex);
  return lists_->stats;
}

void Pool::settle() {
  std::lock_guard lock(lists_->mutex);
  lists_->settled = true;
}

void Pool::reset_peak() {
  std::lock_guard lock(lists_->mutex);
  lists_->stats.peak_bytes = lists_->stats.live_bytes;
}

}  // namespace og

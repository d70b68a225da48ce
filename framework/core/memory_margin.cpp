#include "framework/core/memory_margin.h"

#include <sys/mman.h>

namespace og {

namespace {

constexpr size_t kReserve = size_t{4} << 20;
constexpr size_t kStack = size_t{1} << 20;

void* map(size_t bytes) {
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return block == MAP_FAILED ? nullptr : block;
}

}  // namespace

bool memory_is_left(int64_t bytes) {
  const auto size = static_cast<size_t>(bytes);
  void* block = map(size);
  if (block == nullptr) return false;
  munmap(block, size);
  return true;
}

void take_stack() {
  volatile char pages[kStack];
  for (size_t i = kStack; i >= 4096; i -= 4096) pages[i - 1] = 0;
  (void)pages[0];
}

MemoryReserve::MemoryReserve() : block_(map(kReserve)) {}

void MemoryReserve::release() {
  if (block_ != nullptr) munmap(block_, kReserve);
  block_ = nullptr;
}

}  // namespace og

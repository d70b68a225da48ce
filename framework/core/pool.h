// Pool: where tensor memory comes from. One per rank. Blocks are rounded up to a size class (eight classes to each
// power of two, 64-byte aligned), returned to the pool on release and handed out again, so that a training loop takes
// nothing from the system once its shapes have been seen. Thread safe. A block keeps its pool alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace og {

struct PoolStats {
  int64_t live_bytes = 0;    // in tensors now
  int64_t peak_bytes = 0;    // the most that was ever in tensors
  int64_t held_bytes = 0;    // taken from the system and not given back
  int64_t system_calls = 0;  // how often the system was asked
};

class Pool : public std::enable_shared_from_this<Pool> {
 public:
  // poison: fill each block with NaN (0xFF bytes) before it is handed out, so that a read of memory nobody wrote shows.
  static std::shared_ptr<Pool> create(bool poison = poison_by_default());
  ~Pool();

  // OutOfMemory, saying what is held, where the system has no more or would keep less than kMemoryMargin.
  std::shared_ptr<std::byte> allocate(int64_t bytes);
  // Zeros that take address space and are counted as others, but no memory before somebody writes to them; given back
  // to the system on release.
  std::shared_ptr<std::byte> reserve_zeros(int64_t bytes);
  PoolStats stats() const;
  void reset_peak();
  // From now on a block of up to eight times the size serves where none of the size is free. Call it after the second
  // step: the sizes that a loop repeats have their blocks by then, and those that change (rows per expert) reuse larger
  // ones.
  void settle();

  static bool poison_by_default();           // environment variable ONEGATHER_POISON=1; tests set it
  static int64_t size_class(int64_t bytes);  // what allocate(bytes) really takes

 private:
  explicit Pool(bool poison);
  void release(std::byte* block, int64_t size);
  struct Lists;
  std::unique_ptr<Lists> lists_;
  bool poison_;
};

}  // namespace og

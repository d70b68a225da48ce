// A margin of memory for what cannot say that memory ended: oneDNN writes generated code without a look at whether it
// got a place for it (v2.6), libgomp ends the program, a stack that cannot grow is a signal. What takes much at once
// (the pool, a new product) asks first whether the margin would still be there, and gives up as long as it is. Thread
// safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace og {

inline constexpr int64_t kMemoryMargin = int64_t{32} << 20;

// The system would give so many bytes now. Takes none; some microseconds.
bool memory_is_left(int64_t bytes);

// The stack of the calling thread has its first pages from here on: under a limit of the address space it could not
// grow later. For main.
void take_stack();

// Some of the margin, held so that it can be given back where memory has ended and that is to be told.
class MemoryReserve {
 public:
  MemoryReserve();
  ~MemoryReserve() { release(); }
  MemoryReserve(const MemoryReserve&) = delete;
  MemoryReserve& operator=(const MemoryReserve&) = delete;
  void release();

 private:
  void* block_ = nullptr;
};

}  // namespace og

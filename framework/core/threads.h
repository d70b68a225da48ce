// parallel_for: the only place that knows which thread library is used (OpenMP, the one oneDNN runs on). The range is
// cut into at most num_threads equal contiguous pieces, so which thread does what depends on n and num_threads alone.
// Nested calls run serially. An exception in a piece is rethrown on the caller.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

namespace og {

// The processors that this process may run on (taskset, mpirun --bind-to, Slurm and containers' cpusets narrow them),
// and their number (>= 1).
std::vector<int> usable_processors();
int hardware_threads();
// OMP_NUM_THREADS; of a list (nested levels) the first. 0: not set.
int requested_threads();
// Makes oneDNN and OpenMP use this many threads when called from the calling thread.
void set_thread_count(int num_threads);

namespace detail {
using Piece = void (*)(void* body, int64_t begin, int64_t end);
void run_pieces(int num_threads, int64_t n, int64_t least, Piece piece, void* body);
}  // namespace detail

// body(begin, end) over [0, n). least: pieces are never smaller than this many items, so that small work stays serial.
template <class Body>
void parallel_for(int num_threads, int64_t n, int64_t least, Body&& body) {
  if (n <= 0) return;
  if (num_threads <= 1 || n <= least) {
    body(int64_t{0}, n);
    return;
  }
  using B = std::remove_reference_t<Body>;
  detail::run_pieces(
      num_threads, n, least, [](void* b, int64_t begin, int64_t end) { (*static_cast<B*>(b))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace og

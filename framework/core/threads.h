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
// The threads of a command that has the machine to itself: OMP_NUM_THREADS, else all processors that this process may
// run on.
int default_threads();
// For main, before anything else: restarts the program once so that OpenMP's idle threads look for work for
// kSpinSeconds and then sleep. Left to itself libgomp lets them spin for about 10 ms, longer than a scheduler's slice:
// on a busy machine they then burn the time that the thread they wait for needs, and sleeping at once
// (OMP_WAIT_POLICY=passive) costs a wake-up at every small kernel. libgomp, on which oneDNN runs too, reads its policy
// from the environment while it is loaded, hence the restart: the same process, arguments and files, and comes back
// only where there is nothing to do. OMP_WAIT_POLICY or GOMP_SPINCOUNT of the user's own is left alone.
inline constexpr double kSpinSeconds = 25e-6;
void restart_with_bounded_spinning(char** argv);
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

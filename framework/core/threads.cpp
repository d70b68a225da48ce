#include "framework/core/threads.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <thread>

#ifdef OG_OPENMP  // absent under ThreadSanitizer, whose view of OpenMP is wrong: there parallel_for is a plain loop
#include <omp.h>
#endif

namespace og {

std::vector<int> usable_processors() {
  std::vector<int> found;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
  }
  // A machine with more processors than the set has bits.
  if (found.empty())
    for (int cpu = 0; cpu < static_cast<int>(std::max(1U, std::thread::hardware_concurrency())); ++cpu)
      found.push_back(cpu);
  return found;
}

int hardware_threads() { return static_cast<int>(usable_processors().size()); }

int requested_threads() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  return text ? std::max(0, std::atoi(text)) : 0;
}

#ifdef OG_OPENMP

void set_thread_count(int num_threads) { omp_set_num_threads(std::max(1, num_threads)); }

void detail::run_pieces(int num_threads, int64_t n, int64_t least, Piece piece, void* body) {
  const int64_t most = std::max<int64_t>(1, n / std::max<int64_t>(1, least));
  const auto pieces = static_cast<int>(std::min<int64_t>(num_threads, most));
  if (pieces == 1 || omp_in_parallel()) return piece(body, 0, n);
  std::exception_ptr error = nullptr;
#pragma omp parallel for num_threads(pieces) schedule(static, 1)
  for (int i = 0; i < pieces; ++i) {
    try {
      piece(body, n * i / pieces, n * (i + 1) / pieces);
    } catch (...) {
#pragma omp critical(og_parallel_for_error)
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

#else

void set_thread_count(int) {}

void detail::run_pieces(int, int64_t n, int64_t, Piece piece, void* body) { piece(body, 0, n); }

#endif

}  // namespace og

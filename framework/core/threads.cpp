#include "framework/core/threads.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <string>
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

int default_threads() {
  const int requested = requested_threads();
  return requested > 0 ? requested : hardware_threads();
}

#ifdef OG_OPENMP

namespace {

// What a turn of libgomp's waiting loop takes: a look and the processor's pause, which differs tenfold between
// processors. The least of a few tries: others may have run in between.
double seconds_of_a_spin() {
  constexpr int kTurns = 256;
  const std::atomic<int> looked_at = 0;
  double least = 1;
  for (int i = 0; i < 8; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    for (int turn = 0; turn < kTurns; ++turn) {
      (void)looked_at.load(std::memory_order_acquire);
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return std::max(1e-10, least / kTurns);
}

}  // namespace

void restart_with_bounded_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  char path[PATH_MAX] = "";
  if (readlink("/proc/self/exe", path, sizeof path - 1) <= 0) return;
  setenv("GOMP_SPINCOUNT", std::to_string(std::lround(kSpinSeconds / seconds_of_a_spin())).c_str(), 0);
  execv(path, argv);  // comes back where the file is gone: the run is right without, too
}

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

void restart_with_bounded_spinning(char**) {}

void set_thread_count(int) {}

void detail::run_pieces(int, int64_t n, int64_t, Piece piece, void* body) { piece(body, 0, n); }

#endif

}  // namespace og

// `onegather bench step`: optimizer steps of a config on random tokens, measured against the machine's own limits.
#pragma once

#include <array>
#include <string>

#include "framework/config/config.h"
#include "framework/core/profile.h"
#include "framework/io/json.h"
#include "framework/train/flops.h"

namespace og {

struct StepBench {
  int64_t steps = 10, warmup = 3;
};

struct StepBenchResult {
  double median = 0, least = 0, most = 0;  // tokens/s of all ranks
  ModelFlops flops;                        // for one token
  double gemm_flops_per_second = 0;        // all ranks together, measured between the steps
  double gemm_fraction = 0;                // model FLOP/s at the median speed / gemm_flops_per_second
  double products_per_second = 0;          // FLOP/s that matrix products really ran at, all ranks, over the whole step
  int64_t peak_memory_bytes = 0;           // the most of any rank
  std::array<double, kNumParts> part_seconds{};  // in one step, mean over ranks
  double seconds(Part part) const { return part_seconds[static_cast<size_t>(part)]; }
  std::string precision;
  int ranks = 1, threads = 1;
  double check_error = 0;  // relative difference of the first loss from the reference kernels'
};

// Collective. Before it measures, the loss of the first rows is compared with that of the reference kernels;
// Error(Status::internal) if they disagree by more than the precision explains.
StepBenchResult bench_step(Config config, Comm& world, const StepBench& options);

std::string describe(const StepBenchResult& result, const Config& config);
Json to_json(const StepBenchResult& result);

}  // namespace og

// What a run writes about itself: metrics.jsonl (a line a step), summary.json (totals). Rank 0 only; its own thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "framework/io/json.h"
#include "parallel/comm/comm.h"

namespace og {

struct StepMetrics {
  int64_t step = 0;
  int64_t tokens = 0;               // trained on so far, this step included
  double loss = 0;                  // mean cross-entropy of the step's valid tokens, nats
  double aux_loss = 0, z_loss = 0;  // sums over layers, coefficients applied
  double grad_norm = 0;             // before clipping
  double learning_rate = 0;
  double step_seconds = 0;
  double tokens_per_second = 0;
  double flops_per_second = 0;  // model FLOPs, all ranks
  double data_seconds = 0, comm_seconds = 0, comm_exposed_seconds = 0;
  double expert_load_max_over_mean = 0;
  int64_t tokens_dropped = 0;
  int64_t memory_bytes = 0;  // the most that was in tensors on rank 0 so far
  std::optional<double> eval_loss;
};

Json to_json(const StepMetrics& metrics);

// metrics.jsonl, open for appending. Each line is one write.
class MetricsFile {
 public:
  // Keeps the lines of steps 1 .. last_step; later ones and a torn last line are cut.
  MetricsFile(std::string path, int64_t last_step);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  void append(const StepMetrics& metrics);

 private:
  std::string path_;
  int descriptor_ = -1;
};

// The collectives of a run as summary.json lists them: those of training steps, and the others with their phase.
Json step_collectives(const CommCounters& counters);
Json other_collectives(const CommCounters& counters);

// One column of a metrics.jsonl; lines without it are left out.
struct Series {
  std::vector<double> steps, values;
};
Series read_series(const std::string& metrics_path, const std::string& key);

}  // namespace og

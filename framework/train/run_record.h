// RunRecord: the steps of a run as numbers: what metrics.jsonl says of each, and summary.json of all since the start.
// Refers to config and session.
#pragma once

#include <vector>

#include "framework/train/flops.h"
#include "framework/train/metrics.h"
#include "framework/train/session.h"
#include "framework/train/snapshot.h"

namespace og {

class RunRecord {
 public:
  RunRecord(const Config& config, Session& session);

  void begin_step();
  // at: where the run stands after the step. at.seconds does not count it yet.
  StepMetrics& end_step(const RunPosition& at, const StepResult& result, double learning_rate);

  StepMetrics& last() { return last_; }
  int64_t steps() const { return steps_; }
  const ModelFlops& flops() const { return flops_; }
  Json summary(Status status, const RunPosition& at) const;

 private:
  const Config& config_;
  Session& session_;
  ModelFlops flops_;
  double begin_ = 0;
  int64_t steps_ = 0;                           // since the start
  int64_t system_calls_ = 0;                    // for memory, before this step
  int64_t reads_before_ = 0;                    // Context::host_reads before this step
  int64_t host_reads_ = 0;                      // over all steps
  int64_t buffer_growths_ = 0;                  // how often a step after the second took memory from the system
  double comm_seconds_ = 0, comm_exposed_ = 0;  // all steps before this one
  std::vector<double> speeds_;
  StepMetrics last_;
};

}  // namespace og

#include "framework/train/run_record.h"

#include <algorithm>

namespace og {

RunRecord::RunRecord(const Config& config, Session& session)
    : config_(config),
      session_(session),
      flops_(flops_per_token(session.model(), session.store(), config.data.sequence_length)) {}

void RunRecord::begin_step() {
  begin_ = now_seconds();
  system_calls_ = session_.context().pool->stats().system_calls;
  reads_before_ = session_.context().host_reads;
}

StepMetrics& RunRecord::end_step(const RunPosition& at, const StepResult& result, double learning_rate) {
  const PoolStats memory = session_.context().pool->stats();
  StepMetrics m;
  m.step = at.step;
  m.tokens = at.tokens;
  m.loss = result.loss;
  m.aux_loss = result.aux_loss;
  m.z_loss = result.z_loss;
  m.grad_norm = result.grad_norm;
  m.learning_rate = learning_rate;
  m.step_seconds = now_seconds() - begin_;
  m.tokens_per_second = static_cast<double>(config_.train.tokens_per_step) / m.step_seconds;
  m.flops_per_second = m.tokens_per_second * flops_.training();
  m.data_seconds = result.data_seconds;
  const CommCounters& counters = session_.world().counters();
  m.comm_seconds = counters.seconds(kStepPhase) - comm_seconds_;
  m.comm_exposed_seconds = counters.exposed_seconds(kStepPhase) - comm_exposed_;
  comm_seconds_ += m.comm_seconds;
  comm_exposed_ += m.comm_exposed_seconds;
  m.expert_load_max_over_mean = result.expert_load_max_over_mean;
  m.tokens_dropped = result.tokens_dropped;
  m.memory_bytes = memory.peak_bytes;
  last_ = m;

  host_reads_ += session_.context().host_reads - reads_before_;
  steps_ += 1;
  if (steps_ > 1) speeds_.push_back(m.tokens_per_second);
  if (steps_ > 2) buffer_growths_ += memory.system_calls - system_calls_;
  return last_;
}

Json RunRecord::summary(Status status, const RunPosition& at) const {
  std::vector<double> speeds = speeds_;
  std::sort(speeds.begin(), speeds.end());
  const Context& cx = session_.context();
  const CommCounters& counters = session_.world().counters();
  const double host_reads_per_step = steps_ > 0 ? static_cast<double>(host_reads_) / static_cast<double>(steps_) : 0.0;
  Json summary = Json::object({{"status", status == Status::ok ? "done" : "interrupted"},
                               {"step", at.step},
                               {"num_steps", config_.train.num_steps},
                               {"tokens", at.tokens},
                               {"loss", last_.loss},
                               {"seconds", at.seconds},
                               {"tokens_per_second", speeds.empty() ? 0.0 : speeds[speeds.size() / 2]},
                               {"parameters", session_.store().global_count()},
                               {"flops_per_token", flops_.training()},
                               {"precision", session_.precision().name},
                               {"ranks", session_.world().size()},
                               {"threads", cx.stream.num_threads},
                               {"peak_memory_bytes", cx.pool->stats().peak_bytes},
                               {"buffer_growths", buffer_growths_},
                               {"host_reads_per_step", host_reads_per_step},
                               {"steps_since_start", steps_},
                               {"collectives", step_collectives(counters)},
                               {"collectives_elsewhere", other_collectives(counters)}});
  if (last_.eval_loss) summary.set("eval_loss", *last_.eval_loss);
  return summary;
}

}  // namespace og

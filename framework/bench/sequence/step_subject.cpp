#include "framework/bench/sequence/step_subject.h"

#include <cmath>

#include "framework/bench/sequence/methods.h"
#include "framework/core/error.h"
#include "framework/data/tokenizer.h"
#include "framework/measure/random_rows.h"
#include "framework/train/session.h"
#include "framework/train/step.h"

namespace og {

namespace {

constexpr int64_t kMicroStepsPerStage = 4;

// A micro step takes all rows, or with segments as many as fit into the tokens of one: what is in memory at once then
// does not depend on the length. A pipeline needs several micro steps.
int64_t rows_at_once(const Config& file, const Extent& e) {
  int64_t most = e.rows;
  if (file.parallel.degrees.pipeline > 1) most = e.rows / (kMicroStepsPerStage * file.parallel.degrees.pipeline);
  if (file.train.segment_length > 0) most = std::min(most, file.train.segment_length / e.length);
  for (; most > 1; --most)
    if (e.rows % most == 0) return most;
  return 1;
}

// The file's config as this point has it, whatever the file says.
void adapt(Config& config, const SubjectOptions& o, const SequenceMethod* method, int ranks, const Extent& e) {
  ParallelConfig& p = config.parallel;
  config.data.sequence_length = e.length;
  config.train.tokens_per_step = e.rows * e.length;
  config.train.threads = o.threads;
  p.data_auto = false;
  p.degrees.data = 1;
  if (ranks == 1) {
    p.degrees = {};
    p.virtual_stages = 1;
    p.pipeline_schedule = "1f1b";
    p.sequence_norms = false;
  } else {
    const int others = p.degrees.tensor * p.degrees.pipeline;
    if (ranks % others != 0)
      fail(Status::usage, "{} ranks do not divide by parallel.tensor x parallel.pipeline = {}", ranks, others);
    p.degrees.sequence = ranks / others;
    if (method != nullptr && method->linear) p.sequence_method = name_of(*method->linear);
    if (method != nullptr && method->softmax) p.softmax_sequence_method = name_of(*method->softmax);
  }
  config.train.micro_batch_size = rows_at_once(config, e);
  for (const char* key : {"data.sequence_length", "train.tokens_per_step", "train.micro_batch_size", "parallel.data",
                          "parallel.sequence", "parallel.sequence_method", "parallel.softmax_sequence_method"})
    config.origins.erase(key);  // no line of the file says so
}

Config config_for(const SubjectOptions& o, const SequenceMethod* method, int ranks, const Extent& e) {
  Config config =
      load_config(o.config, o.overrides, config_rules(ranks), [&](Config& c) { adapt(c, o, method, ranks, e); });
  if (config.model.vocab_size == 0) config.model.vocab_size = make_tokenizer(config.data.tokenizer)->vocab_size();
  return config;
}

class StepSubject final : public SequenceSubject {
 public:
  StepSubject(const SubjectOptions& o, const SequenceMethod* method, Comm& comm, const Extent& extent)
      : config_(config_for(o, method, comm.size(), extent)),
        session_(config_, comm, resolve_degrees(config_, comm.size())),
        optimizer_(session_.store(), config_.train.adamw, config_.optimizer_sharding()),
        step_(session_.model(), optimizer_, step_options(config_)),
        own_(session_.mesh().sequence_options) {
    if (method != nullptr) use(*method);
  }

  void use(const SequenceMethod& method) override { session_.mesh().sequence_options = method.on(own_); }
  Pool& pool() override { return *session_.context().pool; }
  bool repeats() const override { return false; }
  double allowed_difference() const override {
    const std::string& precision = session_.precision().name;
    return precision == "f64" ? 1e-9 : precision == "bf16" ? 1.0 / 64 : 1e-4;
  }

  void run() override { step(); }

  // Loss and gradient norm: sums over all tokens, the same on every rank.
  SequenceResult run_and_keep() override {
    const StepResult result = step();
    SequenceResult kept;
    for (double x : {result.loss, result.grad_norm}) {
      kept.parts.push_back(Tensor::zeros(*numbers_, {1}, DType::f64));
      *kept.parts.back().data<double>() = x;
      kept.largest.push_back(std::abs(x));
    }
    return kept;
  }
  SequenceResult part_of(const SequenceResult& whole) const override { return whole; }

 private:
  StepResult step() {
    const RowSource rows = [&](int64_t first, int64_t count) {
      return random_rows(pool(), first, count, config_.data.sequence_length, config_.model.vocab_size);
    };
    return step_.run(++number_, 0, rows, 1e-4, false);
  }

  Config config_;
  Session session_;
  AdamW optimizer_;
  TrainStep step_;
  SequenceOptions own_;  // what the config says, or chose
  std::shared_ptr<Pool> numbers_ = Pool::create();
  int64_t number_ = 0;
};

}  // namespace

std::unique_ptr<SequenceSubject> make_step_subject(const SubjectOptions& options, const SequenceMethod* method,
                                                   Comm& comm, const Extent& extent) {
  return std::make_unique<StepSubject>(options, method, comm, extent);
}

std::optional<Problem> step_problem(const SubjectOptions& options, const SequenceMethod& method, int ranks,
                                    const Extent& extent) {
  try {
    config_for(options, &method, ranks, extent);
  } catch (const Error& e) {
    return Problem{e.what()};
  }
  return std::nullopt;
}

}  // namespace og

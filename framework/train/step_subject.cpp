#include "framework/train/step_subject.h"

#include <algorithm>
#include <cmath>

#include "framework/data/tokenizer.h"
#include "framework/train/random_rows.h"
#include "framework/train/session.h"
#include "framework/train/step.h"

namespace og {

namespace {

Config config_for(const SubjectOptions& o, int ranks, int64_t rows, int64_t length) {
  std::vector<std::string> overrides = o.overrides;
  overrides.push_back(fmt::format("data.sequence_length={}", length));
  overrides.push_back(fmt::format("train.tokens_per_step={}", rows * length));
  overrides.emplace_back("train.micro_batch_size=1");
  overrides.push_back(fmt::format("train.threads={}", o.threads));
  overrides.emplace_back("parallel.data=1");
  if (ranks == 1) {
    for (const char* axis : {"tensor", "expert", "pipeline"}) overrides.push_back(fmt::format("parallel.{}=1", axis));
    overrides.emplace_back("parallel.sequence=1");
  } else {
    overrides.push_back(fmt::format("parallel.sequence={}", ranks));
  }
  Config config = load_config(o.config, overrides, config_rules(ranks));
  // Rows are taken together, all or as many as a segment has tokens: what is in memory at once does not depend on the
  // length.
  if (config.train.segment_length == 0) config.train.micro_batch_size = rows;
  for (int64_t at_once = config.train.segment_length / length; at_once > 1; --at_once)
    if (rows % at_once == 0) {
      config.train.micro_batch_size = at_once;
      break;
    }
  if (config.model.vocab_size == 0) config.model.vocab_size = make_tokenizer(config.data.tokenizer)->vocab_size();
  return config;
}

class StepSubject final : public SequenceSubject {
 public:
  StepSubject(const SubjectOptions& o, Comm& comm, int64_t rows, int64_t length)
      : config_(config_for(o, comm.size(), rows, length)),
        session_(config_, comm, resolve_degrees(config_, comm.size())),
        optimizer_(session_.store(), config_.train.adamw, config_.optimizer_sharding()),
        step_(session_.context(), session_.mesh(), session_.store(), session_.model(), optimizer_,
              step_options(config_)),
        precision_(session_.precision().name) {}

  void use(const SequenceOptions& options) override {
    SequenceOptions& own = session_.mesh().sequence_options;
    own.linear = options.linear;
    own.overlap = options.overlap;
  }
  Pool& pool() override { return *session_.context().pool; }
  void keep_results(bool) override {}
  double allowed_difference() const override {
    return precision_ == "f64" ? 1e-9 : precision_ == "bf16" ? 1.0 / 64 : 1e-4;
  }

  void run() override {
    const RowSource rows = [&](int64_t first, int64_t count) {
      return random_rows(pool(), first, count, config_.data.sequence_length, config_.model.vocab_size);
    };
    result_ = step_.run(++number_, 0, rows, 1e-4, false);
  }

  // Loss and gradient norm of the first step.
  double difference_from(const SequenceSubject& other) const override {
    const StepResult& one = static_cast<const StepSubject&>(other).result_;
    const double worst = std::max(std::abs(result_.loss - one.loss) / std::abs(one.loss),
                                  std::abs(result_.grad_norm - one.grad_norm) / one.grad_norm);
    return std::isnan(worst) ? HUGE_VAL : worst;
  }

 private:
  Config config_;
  Session session_;
  AdamW optimizer_;
  TrainStep step_;
  std::string precision_;
  int64_t number_ = 0;
  StepResult result_;
};

}  // namespace

std::unique_ptr<SequenceSubject> make_step_subject(const SubjectOptions& options, Comm& comm, int64_t rows,
                                                   int64_t length) {
  return std::make_unique<StepSubject>(options, comm, rows, length);
}

}  // namespace og

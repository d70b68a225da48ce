#include "framework/train/trainer.h"

#include <algorithm>
#include <filesystem>
#include <new>
#include <optional>

#include "framework/config/notes.h"
#include "framework/core/log.h"
#include "framework/core/memory_margin.h"
#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/io/run_lock.h"
#include "framework/train/choose_method.h"
#include "framework/train/corpus.h"
#include "framework/train/flops.h"
#include "framework/train/memory_limit.h"
#include "framework/train/metrics.h"
#include "framework/train/plot.h"
#include "framework/train/progress.h"
#include "framework/train/sample.h"
#include "framework/train/segment_cost.h"
#include "framework/train/session.h"
#include "framework/train/snapshot.h"
#include "framework/train/start.h"
#include "framework/train/step.h"
#include "framework/train/stop.h"
#include "parallel/comm/agreement.h"
#include "parallel/comm/launched.h"
#include "parallel/comm/together.h"

namespace og {

namespace {

constexpr double kMuchToInitialise = 1e9;  // bytes of weights; initialising more takes seconds and is said

class Trainer {
 public:
  Trainer(Config config, Comm& world, const TrainOptions& options);
  Status run();
  [[noreturn]] void explain_bad_numbers(const Error& error) const;
  std::string out_of_memory(const std::string& what);

 private:
  bool set_up();
  bool take_step();
  Status take_steps();
  void open_run_folder();
  bool choose_start();        // false: the run is finished already
  void leave_other_branch();  // rank 0
  void announce();
  StepMetrics measure(const StepResult& result, double begin);
  double evaluate();
  void save();
  void finish(Status status);
  std::string in_run(const std::string& name) const { return config_.run.dir + "/" + name; }
  bool leads() const { return world_.rank() == 0; }

  Config config_;
  Comm& world_;
  TrainOptions options_;
  std::optional<RunLock> lock_;
  Corpus corpus_;
  MemoryNeed need_;
  std::optional<Session> session_;
  std::optional<AdamW> optimizer_;
  std::optional<TrainStep> step_;
  std::optional<MetricsFile> metrics_;
  ModelFlops flops_;
  RunPosition at_;
  int64_t saved_step_ = -1;
  std::string tried_;  // the newest checkpoint whose weights are known to give a loss
  std::vector<double> speeds_;
  StepMetrics last_;
  double comm_seconds_ = 0, comm_exposed_ = 0;  // all steps before this one
  int64_t steps_since_start_ = 0;
  int64_t buffer_growths_ = 0;  // how often a step after the second took memory from the system
  Start start_;
};

Trainer::Trainer(Config config, Comm& world, const TrainOptions& options)
    : config_(std::move(config)), world_(world), options_(options) {}

void Trainer::open_run_folder() {
  together(world_, Sites::startup, [&] {
    if (!leads()) return;
    make_folders(in_run("checkpoints"));
    lock_.emplace(config_.run.dir);
    log::open_file(in_run("log.txt"));
  });
}

bool Trainer::choose_start() {
  together(world_, Sites::startup, [&] {
    start_ = find_start(config_, options_);
    if (!start_.checkpoint) return;
    const auto changed =
        check_same_run(*start_.checkpoint, config_, corpus_.tokenizer->identity(), corpus_.train->identity());
    for (const std::string& d : changed) log::info("changed since the checkpoint: {}", d);
  });
  for (const std::string& remark : start_.remarks) log::warning("{}", remark);
  if (start_.checkpoint) {
    const SnapshotNotes notes = notes_of(*start_.checkpoint);
    at_ = notes.position;
    if (at_.step >= config_.train.num_steps) {
      log::info("{}: this run is finished: step {} of {}. Raise train.num_steps to go on", start_.checkpoint->folder(),
                at_.step, config_.train.num_steps);
      return false;
    }
    load_snapshot(*start_.checkpoint, world_, session_->store(), &*optimizer_);
    if (start_.in_run_folder) saved_step_ = at_.step;
    if (notes.tried) tried_ = start_.checkpoint->folder();
  } else if (start_.weights) {
    load_snapshot(*start_.weights, world_, session_->store(), nullptr);
  }
  return true;
}

void Trainer::leave_other_branch() {
  const int64_t kept_steps = start_.checkpoint && !start_.in_run_folder ? 0 : at_.step;
  if (!start_.left_behind.empty()) {
    const std::string folder = set_aside_checkpoints(config_.run.dir, start_.left_behind, at_.step);
    std::error_code none;  // there may be no metrics
    std::filesystem::copy_file(in_run("metrics.jsonl"), folder + "/metrics.jsonl", none);
    log::info("set aside: {} of another branch, {} the newest, and its metrics -> {}",
              counted(std::ssize(start_.left_behind), "checkpoint"),
              std::filesystem::path(start_.left_behind.back()).filename().string(), folder);
  }
  metrics_.emplace(in_run("metrics.jsonl"), kept_steps);
}

void Trainer::announce() {
  const ParameterStore& store = session_->store();
  const Loader& data = *corpus_.train;
  log::info("{}", session_->mesh().describe());
  if (!session_->sequence_reason().empty()) log::info("{}", session_->sequence_reason());
  log::info("model: {} parameters, {} FLOPs a token forward ({} training), {}, {} a rank",
            human_count(static_cast<double>(store.global_count())), human_count(flops_.forward()),
            human_count(flops_.training()), session_->precision().name,
            counted(session_->context().stream.num_threads, "thread"));
  log::info("data: {}, {} tokens, {} of {} an epoch; {} a step", counted(data.num_documents(), "document"),
            human_count(static_cast<double>(data.num_tokens())), counted(data.rows_per_epoch(), "row"),
            config_.data.sequence_length, counted(config_.rows_per_step(), "row"));
  for (const std::string& remark : remarks(corpus_, config_)) log::info("{}", remark);
  const std::string segments =
      describe_segments(config_, session_->mesh().degrees(), size_of(session_->precision().dtype));
  if (!segments.empty()) log::info("{}", segments);
  for (const std::string& note : config_notes(config_)) log::warning("{}", note);
  log::info("run: {} -> {}", start_.text, config_.run.dir);
  if (leads()) tell_launcher("folder", config_.run.dir);
}

StepMetrics Trainer::measure(const StepResult& result, double begin) {
  StepMetrics m;
  m.step = at_.step;
  m.tokens = at_.tokens;
  m.loss = result.loss;
  m.aux_loss = result.aux_loss;
  m.z_loss = result.z_loss;
  m.grad_norm = result.grad_norm;
  m.learning_rate =
      learning_rate(config_.train.schedule, config_.train.learning_rate, at_.step, config_.train.num_steps);
  m.step_seconds = now_seconds() - begin;
  m.tokens_per_second = static_cast<double>(config_.train.tokens_per_step) / m.step_seconds;
  m.flops_per_second = m.tokens_per_second * flops_.training();
  m.data_seconds = result.data_seconds;
  const CommCounters& counters = world_.counters();
  m.comm_seconds = counters.seconds(kStepPhase) - comm_seconds_;
  m.comm_exposed_seconds = counters.exposed_seconds(kStepPhase) - comm_exposed_;
  comm_seconds_ += m.comm_seconds;
  comm_exposed_ += m.comm_exposed_seconds;
  m.expert_load_max_over_mean = result.expert_load_max_over_mean;
  m.tokens_dropped = result.tokens_dropped;
  m.memory_bytes = session_->context().pool->stats().peak_bytes;
  return m;
}

double Trainer::evaluate() {
  return evaluate_data(session_->model(), *corpus_.eval, config_.most_eval_rows(), config_.train.micro_batch_size,
                       config_.train.segment_length, false)
      .loss();
}

void Trainer::save() {
  if (saved_step_ == at_.step) return;
  const CommPhase phase(world_.counters(), "checkpoint");
  const Loader& data = *corpus_.train;
  Pool& pool = *session_->context().pool;
  step_->try_weights(at_.step, at_.rows, [&](int64_t first, int64_t count) { return data.rows(pool, first, count); });
  const SnapshotNotes notes{.position = at_,
                            .config = to_yaml(config_),
                            .tokenizer = corpus_.tokenizer->identity(),
                            .data = corpus_.train->identity(),
                            .sources = start_.sources,
                            .tried = true};
  const std::string folder = save_snapshot(config_.run.dir, world_, session_->store(), *optimizer_, notes);
  saved_step_ = at_.step;
  tried_ = folder;
  together(world_, Sites::checkpoint, [&] {
    if (leads()) remove_old_checkpoints(config_.run.dir, folder, config_.checkpoint.keep);
  });
}

void Trainer::explain_bad_numbers(const Error& error) const {
  if (!step_) throw error;  // a checkpoint that was refused
  std::string last = "No checkpoint of this run was saved";
  if (!tried_.empty())
    last = fmt::format("The last checkpoint whose numbers were checked: {}", tried_);
  else if (start_.checkpoint)
    last = fmt::format("{}, where this start began, was saved without a check of its weights",
                       start_.checkpoint->folder());
  std::string advice = "Lower train.optimizer.learning_rate, raise train.schedule.warmup_steps";
  if (config_.train.max_grad_norm == 0) advice += ", set train.max_grad_norm: 1.0";
  if (session_ && session_->precision().name == "bf16") advice += ", set train.precision: f32";
  if (start_.checkpoint || !tried_.empty())
    advice += "; if the same step fails again, begin at an earlier checkpoint with --resume PATH";
  fail(Status::numbers, "{}. {}. {}", error.what(), last, advice);
}

void Trainer::finish(Status status) {
  if (!leads()) return;
  std::sort(speeds_.begin(), speeds_.end());
  const PoolStats memory = session_->context().pool->stats();
  Json summary = Json::object({{"status", status == Status::ok ? "done" : "interrupted"},
                               {"step", at_.step},
                               {"num_steps", config_.train.num_steps},
                               {"tokens", at_.tokens},
                               {"loss", last_.loss},
                               {"seconds", at_.seconds},
                               {"tokens_per_second", speeds_.empty() ? 0.0 : speeds_[speeds_.size() / 2]},
                               {"parameters", session_->store().global_count()},
                               {"flops_per_token", flops_.training()},
                               {"precision", session_->precision().name},
                               {"ranks", world_.size()},
                               {"threads", session_->context().stream.num_threads},
                               {"peak_memory_bytes", memory.peak_bytes},
                               {"buffer_growths", buffer_growths_},
                               {"steps_since_start", steps_since_start_},
                               {"collectives", step_collectives(world_.counters())},
                               {"collectives_elsewhere", other_collectives(world_.counters())}});
  if (last_.eval_loss) summary.set("eval_loss", *last_.eval_loss);
  replace_text(in_run("summary.json"), summary.dump(2) + "\n");
  const std::string problem = plot_loss(in_run("metrics.jsonl"), in_run("loss.png"),
                                        std::filesystem::path(config_.run.dir).filename().string());
  if (!problem.empty()) log::warning("{}", problem);
}

// Everything before the first step. False: the run is finished already.
bool Trainer::set_up() {
  check_agreement(world_, "the config", to_yaml(config_));
  // Wrong paths and another run's checkpoint are told before data is read and before there is a run folder.
  // `auto` names nothing, and what is in the folder is read under its lock.
  if (options_.resume != "auto" || !options_.init.empty())
    together(world_, Sites::startup, [&] { describe_start(config_, options_); });
  corpus_ = open_corpus(config_, world_);
  const Degrees degrees = resolve_degrees(config_, world_.size());
  need_ = least_memory(config_, world_, degrees);
  check_memory(need_, memory_bounds(), world_, config_);
  open_run_folder();
  if (need_.weights > kMuchToInitialise)
    log::info("initialising {} of weights on this rank", human_bytes(need_.weights));
  session_.emplace(config_, world_, degrees);
  optimizer_.emplace(session_->store(), config_.train.adamw, config_.optimizer_sharding());
  flops_ = flops_per_token(session_->model(), session_->store(), config_.data.sequence_length);
  if (!choose_start()) return false;
  step_.emplace(session_->model(), *optimizer_, step_options(config_));
  together(world_, Sites::startup, [&] {
    if (!leads()) return;
    replace_text(in_run("config.yaml"), to_yaml(config_));
    leave_other_branch();
  });
  announce();
  return true;
}

// One step and its evaluation, if one is due. True: a rank was asked to stop.
bool Trainer::take_step() {
  const Loader& data = *corpus_.train;
  Pool& pool = *session_->context().pool;
  const double begin = now_seconds();
  const int64_t step = at_.step + 1, rows_in_step = config_.rows_per_step(), num_steps = config_.train.num_steps;
  const int64_t epoch = data.epoch_of(at_.rows + rows_in_step - 1);
  if (epoch > data.epoch_of(std::max<int64_t>(0, at_.rows - 1)))
    log::info("step {}: epoch {} of the data begins", step, epoch + 1);
  const RowSource rows = [&](int64_t first, int64_t count) { return data.rows(pool, first, count); };
  const int64_t system_calls = pool.stats().system_calls;
  const double rate = learning_rate(config_.train.schedule, config_.train.learning_rate, step, num_steps);
  const StepResult result = step_->run(step, at_.rows, rows, rate, stop_requested());
  at_.step = step;
  at_.rows += rows_in_step;
  at_.tokens += config_.train.tokens_per_step;
  last_ = measure(result, begin);
  at_.seconds += last_.step_seconds;
  steps_since_start_ += 1;
  if (steps_since_start_ == 2) pool.settle();
  if (steps_since_start_ > 2) buffer_growths_ += pool.stats().system_calls - system_calls;
  if (steps_since_start_ > 1) speeds_.push_back(last_.tokens_per_second);
  const int64_t every = config_.train.eval_every;
  if (corpus_.eval && every > 0 && (step % every == 0 || step == num_steps)) last_.eval_loss = evaluate();
  together(world_, Sites::metrics, [&] {
    if (leads()) metrics_->append(last_);
  });
  return result.stop_requested;
}

Status Trainer::take_steps() {
  const int64_t num_steps = config_.train.num_steps, every = config_.checkpoint.every;
  Progress progress(num_steps, config_.run.log_every, leads() && on_terminal());
  while (at_.step < num_steps) {
    pause_for_tests(at_.step);
    const bool stop = take_step(), last = at_.step == num_steps;
    progress.step(last_);
    if (stop || last || (every > 0 && at_.step % every == 0)) save();
    if (stop && !last) return Status::interrupted;
  }
  return Status::ok;
}

Status Trainer::run() {
  if (!set_up()) return Status::ok;
  const CommPhase between_steps(world_.counters(), "reporting");
  const Status status = take_steps();
  if (status == Status::ok) {
    const std::string sample =
        sample_after_training(*session_, *corpus_.tokenizer, corpus_.eval ? *corpus_.eval : *corpus_.train);
    if (leads()) replace_text(in_run("samples.txt"), sample);
  }
  together(world_, Sites::metrics, [&] { finish(status); });
  if (status == Status::interrupted) {
    log::info("stopped at step {} of {}; the same command goes on from there", at_.step, config_.train.num_steps);
  } else {
    log::info("done: {}, {} tokens, loss {:.4f} -> {}", counted(at_.step, "step"),
              human_count(static_cast<double>(at_.tokens)), last_.loss, config_.run.dir);
  }
  return status;
}

std::string Trainer::out_of_memory(const std::string& what) {
  const PoolStats pool = session_ ? session_->context().pool->stats() : PoolStats{};
  return out_of_memory_text(what, need_, pool, config_, world_.size());
}

}  // namespace

Status train(Config config, Comm& world, const TrainOptions& options) {
  MemoryReserve reserve;
  Trainer trainer(std::move(config), world, options);
  try {
    return trainer.run();
  } catch (const OutOfMemory& e) {
    reserve.release();
    throw OutOfMemory(trainer.out_of_memory(e.what()));
  } catch (const std::bad_alloc&) {
    reserve.release();
    throw OutOfMemory(trainer.out_of_memory("out of memory: the system gives no more"));
  } catch (const Error& e) {
    if (e.status() == Status::numbers) trainer.explain_bad_numbers(e);
    throw;
  }
}

std::string describe_plan(Config config, Comm& world) {
  if (config.model.vocab_size == 0) config.model.vocab_size = make_tokenizer(config.data.tokenizer)->vocab_size();
  const Degrees degrees = resolve_degrees(config, world.size());
  Session session(config, world, degrees, Weights::shapes);
  ParameterStore& store = session.store();
  const ModelFlops flops = flops_per_token(session.model(), store, config.data.sequence_length);
  const int64_t size = size_of(store.dtype());
  int64_t local = 0;
  for (const Parameter& p : store.all()) local += p.local_shape.count() * size;
  const int64_t moments = 2 * lay_out(store, config.optimizer_sharding()).own_count() * size;
  const int64_t rows = config.rows_per_step();
  std::string text = to_yaml(config, true);
  text += fmt::format("\nmesh: {}\n", session.mesh().describe());
  if (!session.sequence_reason().empty())
    text += session.sequence_reason() + "\n" + choose_sequence_methods(config, session.mesh()).costs;
  text += fmt::format(
      "parameters: {} in all; this rank holds {} of weights, as much of gradients and {} of AdamW moments{}\n",
      human_count(static_cast<double>(store.global_count())), human_bytes(static_cast<double>(local)),
      human_bytes(static_cast<double>(moments)),
      config.parallel.zero == 1
          ? fmt::format(" ({} with parallel.zero: 0)", human_bytes(static_cast<double>(2 * local)))
          : std::string());
  text += fmt::format(
      "model FLOPs a token: {} forward, {} training (products {}, experts {}, head {}, mixers {}, attention {})\n",
      human_count(flops.forward()), human_count(flops.training()), human_count(flops.products),
      human_count(flops.experts), human_count(flops.head), human_count(flops.mixers), human_count(flops.attention));
  text += fmt::format("a step: {} of {}; {} of {} on each data rank\n", counted(rows, "row"),
                      counted(config.data.sequence_length, "token"),
                      counted(rows / (config.train.micro_batch_size * degrees.data), "micro step"),
                      counted(config.train.micro_batch_size, "row"));
  if (const std::string segments = describe_segments(config, degrees, size); !segments.empty()) text += segments + "\n";
  text += fmt::format("precision: {}; {} a rank\n", session.precision().name,
                      counted(session.context().stream.num_threads, "thread"));
  for (const std::string& note : config_notes(config)) text += "warning: " + note + "\n";
  return text;
}

}  // namespace og

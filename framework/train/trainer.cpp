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
#include "framework/train/corpus.h"
#include "framework/train/memory_limit.h"
#include "framework/train/metrics.h"
#include "framework/train/plot.h"
#include "framework/train/progress.h"
#include "framework/train/run_record.h"
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
  Trainer(Config config, Comm& world, const TrainOptions& options)
      : config_(std::move(config)), world_(world), options_(options) {}
  Status run();
  [[noreturn]] void explain_bad_numbers(const Error& error) const;
  std::string out_of_memory(const std::string& what);

 private:
  // The steps of run(), in their order.
  void agree();
  void check_that_it_fits();
  void open_run_folder();
  void build();
  bool choose_start();  // false: the run is finished already
  void open_records();
  void announce();
  Status train_steps();
  void close_records(Status status);

  void leave_other_branch();  // rank 0
  bool take_step();           // whether a rank was asked to stop
  bool is_due(int64_t every) const { return every > 0 && at_.step % every == 0; }
  bool at_end() const { return at_.step >= config_.train.num_steps; }
  double evaluate();
  void save();
  RowSource rows();
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
  std::optional<RunRecord> record_;
  RunPosition at_;
  int64_t saved_step_ = -1;
  std::string tried_;  // the newest checkpoint whose weights are known to give a loss
  Start start_;
};

Status Trainer::run() {
  agree();
  corpus_ = open_corpus(config_, world_);
  check_that_it_fits();
  open_run_folder();
  build();
  if (!choose_start()) return Status::ok;
  open_records();
  announce();
  const CommPhase between_steps(world_.counters(), "reporting");
  const Status status = train_steps();
  close_records(status);
  return status;
}

void Trainer::agree() {
  check_agreement(world_, "the config", to_yaml(config_));
  // Wrong paths and another run's checkpoint are told before data is read and before there is a run folder.
  // `auto` names nothing, and what is in the folder is read under its lock.
  if (options_.resume != "auto" || !options_.init.empty())
    together(world_, Sites::startup, [&] { describe_start(config_, options_); });
}

void Trainer::check_that_it_fits() {
  session_.emplace(config_, world_, resolve_degrees(config_, world_.size()), Weights::shapes);
  need_ = least_memory(config_, *session_);
  check_memory(need_, memory_bounds(), world_, config_);
}

void Trainer::open_run_folder() {
  together(world_, Sites::startup, [&] {
    if (!leads()) return;
    make_folders(in_run("checkpoints"));
    lock_.emplace(config_.run.dir);
    log::open_file(in_run("log.txt"));
  });
}

void Trainer::build() {
  if (need_.weights > kMuchToInitialise)
    log::info("initialising {} of weights on this rank", human_bytes(need_.weights));
  session_->fill(config_);
  optimizer_.emplace(session_->store(), config_.train.adamw, config_.optimizer_sharding());
  record_.emplace(config_, *session_);
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

void Trainer::open_records() {
  step_.emplace(session_->model(), *optimizer_, step_options(config_));
  together(world_, Sites::startup, [&] {
    if (!leads()) return;
    replace_text(in_run("config.yaml"), to_yaml(config_));
    leave_other_branch();
  });
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
            human_count(static_cast<double>(store.global_count())), human_count(record_->flops().forward()),
            human_count(record_->flops().training()), session_->precision().name,
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

Status Trainer::train_steps() {
  Progress progress(config_.train.num_steps, config_.run.log_every, leads() && on_terminal());
  for (bool stop = false; !stop && !at_end();) {
    pause_for_tests(at_.step);
    stop = take_step();
    if (corpus_.eval && config_.train.eval_every > 0 && (is_due(config_.train.eval_every) || at_end()))
      record_->last().eval_loss = evaluate();
    together(world_, Sites::metrics, [&] {
      if (leads()) metrics_->append(record_->last());
    });
    progress.step(record_->last());
    if (is_due(config_.checkpoint.every) || at_end() || stop) save();
  }
  progress.finish();
  return at_end() ? Status::ok : Status::interrupted;
}

bool Trainer::take_step() {
  record_->begin_step();
  const int64_t step = at_.step + 1, num_rows = config_.rows_per_step();
  const int64_t epoch = corpus_.train->epoch_of(at_.rows + num_rows - 1);
  if (epoch > corpus_.train->epoch_of(std::max<int64_t>(0, at_.rows - 1)))
    log::info("step {}: epoch {} of the data begins", step, epoch + 1);
  const double rate = learning_rate(config_.train.schedule, config_.train.learning_rate, step, config_.train.num_steps);
  const StepResult result = step_->run(step, at_.rows, rows(), rate, stop_requested());
  at_.step = step;
  at_.rows += num_rows;
  at_.tokens += config_.train.tokens_per_step;
  at_.seconds += record_->end_step(at_, result, rate).step_seconds;
  if (record_->steps() == 2) session_->context().pool->settle();
  return result.stop_requested;
}

RowSource Trainer::rows() {
  return [&data = *corpus_.train, &pool = *session_->context().pool](int64_t first, int64_t count) {
    return data.rows(pool, first, count);
  };
}

double Trainer::evaluate() {
  return evaluate_data(session_->model(), *corpus_.eval, config_.most_eval_rows(), config_.train.micro_batch_size,
                       config_.train.segment_length, false)
      .loss();
}

void Trainer::save() {
  if (saved_step_ == at_.step) return;
  const CommPhase phase(world_.counters(), "checkpoint");
  step_->try_weights(at_.step, at_.rows, rows());
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

void Trainer::close_records(Status status) {
  if (status == Status::ok) {
    const std::string sample =
        sample_after_training(*session_, *corpus_.tokenizer, corpus_.eval ? *corpus_.eval : *corpus_.train);
    if (leads()) replace_text(in_run("samples.txt"), sample);
  }
  together(world_, Sites::metrics, [&] {
    if (!leads()) return;
    replace_text(in_run("summary.json"), record_->summary(status, at_).dump(2) + "\n");
    if (const auto problem = plot_loss(in_run("metrics.jsonl"), in_run("loss.png"),
                                       std::filesystem::path(config_.run.dir).filename().string()))
      log::warning("{}", problem->text);
  });
  if (status == Status::interrupted)
    log::info("stopped at step {} of {}; the same command goes on from there", at_.step, config_.train.num_steps);
  else
    log::info("done: {}, {} tokens, loss {:.4f} -> {}", counted(at_.step, "step"),
              human_count(static_cast<double>(at_.tokens)), record_->last().loss, config_.run.dir);
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

}  // namespace og

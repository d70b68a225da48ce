#include "parallel/comm/mpi_progress.h"

#include <fmt/format.h>

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>

#include "framework/core/profile.h"
#include "parallel/comm/comm.h"
#include "parallel/comm/deadline.h"
#include "parallel/comm/launched.h"

namespace og {

namespace {

constexpr int64_t kLargestMessage = int64_t{1} << 30;  // MPI counts are int
// The background thread polls often while something has just started or come to its end, then more rarely: a poll costs
// about 10 us of the core that computes.
constexpr double kShortestPoll = 50e-6, kLongestPoll = 250e-6;
// A waiter first gives way between polls; when that has lasted this long it sleeps between them, so that ranks that
// share a core with it compute.
constexpr double kEagerSeconds = 2e-3;
constexpr auto kWaitInterval = std::chrono::microseconds(20);
// How long the ranks of a failing program wait for each other before they take the rest down.
constexpr double kFarewellSeconds = 1;
// How long a rank whose time is up waits for the others' reports.
constexpr double kReportSeconds = 1;
// How often a process without messages under way looks whether another one's time is up.
constexpr auto kIdlePoll = std::chrono::milliseconds(100);
// How long a rank that learns of that still waits itself.
constexpr double kLastWait = 0.2;

std::string rounded(double seconds) {
  return seconds < 10 ? fmt::format("{:.2g}", seconds) : fmt::format("{:.0f}", seconds);
}

}  // namespace

void check_mpi(int code, const std::string& what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail(Status::rank, "{}: {}", what, text);
}

void MpiTask::send(int peer, const Tensor& t, int64_t begin, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kLargestMessage) {
    const int n = static_cast<int>(std::min(kLargestMessage, bytes - at));
    requests_.push_back(MPI_REQUEST_NULL);
    fragments_.push_back({peer, -1});
    check_mpi(MPI_Isend(t.raw() + begin + at, n, MPI_BYTE, peer, tag_, group_->comm, &requests_.back()), what());
  }
}

void MpiTask::receive(int peer, const Tensor& t, int64_t begin, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kLargestMessage) {
    const int n = static_cast<int>(std::min(kLargestMessage, bytes - at));
    requests_.push_back(MPI_REQUEST_NULL);
    fragments_.push_back({peer, n});
    check_mpi(MPI_Irecv(t.raw() + begin + at, n, MPI_BYTE, peer, tag_, group_->comm, &requests_.back()), what());
  }
}

void MpiTask::progress_messages() {
  const int n = static_cast<int>(requests_.size());
  std::vector<int> indices(requests_.size());
  std::vector<MPI_Status> statuses(requests_.size());
  int num = 0;
  const int code = MPI_Testsome(n, requests_.data(), &num, indices.data(), statuses.data());
  if (code == MPI_ERR_IN_STATUS) {
    for (int i = 0; i < num; ++i) check_mpi(statuses[static_cast<size_t>(i)].MPI_ERROR, what());
  }
  check_mpi(code, what());
  if (num == MPI_UNDEFINED) num = static_cast<int>(num_open_);
  for (int i = 0; i < num; ++i) {
    const Fragment& fragment = fragments_[static_cast<size_t>(indices[static_cast<size_t>(i)])];
    if (fragment.bytes < 0) continue;
    int bytes = 0;
    MPI_Get_count(&statuses[static_cast<size_t>(i)], MPI_BYTE, &bytes);
    if (bytes != fragment.bytes)
      fail(Status::rank, "{}: expected {} bytes of rank {}, which sent {}", what(), fragment.bytes,
           group_->world_ranks[static_cast<size_t>(fragment.peer)], bytes);
  }
  num_open_ -= static_cast<size_t>(num);
}

void MpiTask::progress() {
  if (done_) return;
  try {
    if (num_open_ > 0) progress_messages();
    while (num_open_ == 0 && next_ < stages_.size()) {
      requests_.clear();
      fragments_.clear();
      stages_[next_++](*this);
      num_open_ = requests_.size();
    }
    if (num_open_ > 0) return;
  } catch (...) {
    error_ = std::current_exception();
  }
  completed_ = now_seconds();
  done_ = true;
  stages_.clear();  // lets the tensors go
}

double MpiTask::finished() const {
  if (error_) std::rethrow_exception(error_);
  return completed_;
}

std::string MpiTask::what() const { return fmt::format("{}: rank {}", call_, rank_); }

std::vector<int> MpiTask::awaited(bool open) const {
  std::set<int> ranks;
  for (size_t i = 0; i < requests_.size(); ++i)
    if (!open || requests_[i] != MPI_REQUEST_NULL)
      ranks.insert(group_->world_ranks[static_cast<size_t>(fragments_[i].peer)]);
  return {ranks.begin(), ranks.end()};
}

std::string MpiTask::missing() const { return fmt::format("{} for {}", call_, list_of(awaited(true))); }

std::string MpiTask::late(double seconds, const std::map<int, RankReport>& reports) const {
  if (done_) return fmt::format("{} was done after {} s and more, later than its limit", what(), rounded(seconds));
  const std::vector<int> open = awaited(true), met = awaited(false);
  const auto has = [](const std::vector<int>& ranks, int r) {
    return std::find(ranks.begin(), ranks.end(), r) != ranks.end();
  };
  std::vector<int> arrived, missing;
  for (int r : group_->world_ranks) {
    if (number_ < 0 && r != rank_ && !has(met, r)) continue;
    const auto report = reports.find(r);
    const bool here =
        report == reports.end() || number_ < 0 ? has(met, r) && !has(open, r) : report->second.started > number_;
    (r == rank_ || here ? arrived : missing).push_back(r);
  }
  std::vector<std::string> others;
  for (int r : missing.empty() ? open : missing)
    others.push_back(fmt::format("{} ({})", r, reports.contains(r) ? reports.at(r).doing : "silent"));
  return fmt::format("{} waited {} s; arrived: {}; {}: {}", what(), rounded(seconds), list_of(arrived),
                     missing.empty() ? "under way with" : "not arrived", fmt::join(others, ", "));
}

MpiProgress::MpiProgress(double timeout_seconds) : timeout_seconds_(timeout_seconds) {
  int is_initialised = 0, level = 0;
  MPI_Initialized(&is_initialised);
  if (is_initialised) fail(Status::internal, "MPI is initialised once in a process");
  const Deadline deadline("MPI_Init, where the ranks find each other", timeout_seconds);
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level), "MPI_Init_thread");
  if (level < MPI_THREAD_SERIALIZED) fail(Status::rank, "this MPI was built without threads (MPI_THREAD_SERIALIZED)");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  reports_.open();
  thread_ = std::thread([this] { poll_in_background(); });
}

MpiProgress::~MpiProgress() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    doing_ = "has ended";
  }
  outstanding_.notify_all();
  thread_.join();
  const Deadline deadline("MPI_Finalize, where the ranks part", 2 * timeout_seconds_);
  if (!failed_) {
    const bool failing = std::uncaught_exceptions() > 0 || !active_.empty();
    if (!leave_together(failing ? kFarewellSeconds : timeout_seconds_)) {
      tell_failure("a rank ends before the others");
      MPI_Abort(MPI_COMM_WORLD, static_cast<int>(Status::rank));
    }
  }
  if (!active_.empty()) return;  // messages are under way that nobody will take
  reports_.close();
  MPI_Finalize();
}

// Whether all ranks get here in time. A rank alone in MPI_Finalize would hang.
bool MpiProgress::leave_together(double seconds) {
  const double limit = now_seconds() + seconds;
  MPI_Request request = MPI_REQUEST_NULL;
  int together = 0;
  bool works = MPI_Ibarrier(MPI_COMM_WORLD, &request) == MPI_SUCCESS;
  while (works && !together && now_seconds() < limit) {
    works = MPI_Test(&request, &together, MPI_STATUS_IGNORE) == MPI_SUCCESS;
    reports_.poll([this] { return doing_; });
    if (!together) std::this_thread::sleep_for(kWaitInterval);
  }
  return together != 0;
}

void MpiProgress::progress_all() {
  for (const auto& task : active_) task->progress();
  if (std::erase_if(active_, [](const auto& task) { return task->done(); }) > 0) last_event_ = now_seconds();
  reports_.poll([this] { return waiting_ ? "waits in " + waiting_->missing() : doing_; });
}

void MpiProgress::poll_in_background() {
  std::unique_lock lock(mutex_);
  while (true) {
    const bool work = outstanding_.wait_for(lock, kIdlePoll, [&] { return stop_ || (!active_.empty() && !waiting_); });
    if (stop_) return;
    if (!work) {
      if (!waiting_) progress_all();
      continue;
    }
    const double interval = std::clamp((now_seconds() - last_event_) / 10, kShortestPoll, kLongestPoll);
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::duration<double>(interval));
    lock.lock();
    if (!waiting_) progress_all();
  }
}

void MpiProgress::start(const std::shared_ptr<MpiTask>& task) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    active_.push_back(task);
    last_event_ = now_seconds();
    progress_all();
    wake = !active_.empty();
  }
  if (wake) outstanding_.notify_one();
}

double MpiProgress::patience() const { return std::max(timeout_seconds_ / 2, timeout_seconds_ - 3); }

double MpiProgress::finish(MpiTask& task) {
  std::unique_lock lock(mutex_);
  waiting_ = &task;
  const double begin = now_seconds();
  double waited = 0;
  const auto late = [&] {
    waited = now_seconds() - begin;
    return waited >= patience() || (reports_.asked_at() > 0 && now_seconds() > reports_.asked_at() + kLastWait);
  };
  while (!task.done() && !late()) {
    progress_all();
    if (task.done()) break;
    lock.unlock();
    if (waited < kEagerSeconds) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(kWaitInterval);
    }
    lock.lock();
  }
  if (!task.done()) {
    reports_.ask(task.group());
    const double limit = now_seconds() + std::min(kReportSeconds, timeout_seconds_ / 4);
    while (!reports_.complete() && now_seconds() < limit) {
      progress_all();
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      lock.lock();
    }
    doing_ = "gave up waiting in " + task.missing();
    const std::string message = task.late(waited, reports_.answers());
    waiting_ = nullptr;
    throw Error(Status::rank, message);
  }
  waiting_ = nullptr;
  const bool wake = !active_.empty();
  lock.unlock();
  if (wake) outstanding_.notify_one();
  return task.finished();
}

void MpiProgress::add(const std::shared_ptr<MpiGroup>& group, const std::string& axis) {
  const std::lock_guard lock(mutex_);
  reports_.add(group, axis);
}

void MpiProgress::split(MPI_Comm parent, int color, int key, const std::shared_ptr<MpiGroup>& group,
                        const std::string& axis) {
  const Deadline deadline("the split of the ranks into groups of axis " + axis, timeout_seconds_);
  const std::lock_guard lock(mutex_);
  check_mpi(MPI_Comm_split(parent, color, key, &group->comm), "split into groups of axis " + axis);
  MPI_Comm_set_errhandler(group->comm, MPI_ERRORS_RETURN);
  reports_.add(group, axis);
}

void MpiProgress::abort(const std::string& reason) {
  const std::lock_guard lock(mutex_);  // no other call of MPI is under way
  if (failed_) return;
  failed_ = leave_together(kFarewellSeconds);
  if (failed_) return;
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  tell_failure(fmt::format("rank {} failed and stops the others: {}", rank, reason));
  const Deadline deadline("MPI_Abort, which ends the others", kFarewellSeconds);
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(Status::rank));
  std::_Exit(static_cast<int>(Status::rank));
}

}  // namespace og

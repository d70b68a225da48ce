#include "parallel/mpi_progress.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "framework/core/profile.h"

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
    parts_.push_back({peer, -1});
    check_mpi(MPI_Isend(t.raw() + begin + at, n, MPI_BYTE, peer, tag_, group_->comm, &requests_.back()), what_);
  }
}

void MpiTask::receive(int peer, const Tensor& t, int64_t begin, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kLargestMessage) {
    const int n = static_cast<int>(std::min(kLargestMessage, bytes - at));
    requests_.push_back(MPI_REQUEST_NULL);
    parts_.push_back({peer, n});
    check_mpi(MPI_Irecv(t.raw() + begin + at, n, MPI_BYTE, peer, tag_, group_->comm, &requests_.back()), what_);
  }
}

void MpiTask::progress_messages() {
  const int n = static_cast<int>(requests_.size());
  std::vector<int> indices(requests_.size());
  std::vector<MPI_Status> statuses(requests_.size());
  int num = 0;
  const int code = MPI_Testsome(n, requests_.data(), &num, indices.data(), statuses.data());
  if (code == MPI_ERR_IN_STATUS) {
    for (int i = 0; i < num; ++i) check_mpi(statuses[static_cast<size_t>(i)].MPI_ERROR, what_);
  }
  check_mpi(code, what_);
  if (num == MPI_UNDEFINED) num = static_cast<int>(num_open_);
  for (int i = 0; i < num; ++i) {
    const Part& part = parts_[static_cast<size_t>(indices[static_cast<size_t>(i)])];
    if (part.bytes < 0) continue;
    int bytes = 0;
    MPI_Get_count(&statuses[static_cast<size_t>(i)], MPI_BYTE, &bytes);
    if (bytes != part.bytes)
      fail(Status::rank, "{}: expected {} bytes of rank {}, which sent {}", what_, part.bytes,
           group_->world_ranks[static_cast<size_t>(part.peer)], bytes);
  }
  num_open_ -= static_cast<size_t>(num);
}

void MpiTask::progress() {
  if (done_) return;
  try {
    if (num_open_ > 0) progress_messages();
    while (num_open_ == 0 && next_ < stages_.size()) {
      requests_.clear();
      parts_.clear();
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

std::string MpiTask::late(double seconds) const {
  std::set<int> missing;
  for (size_t i = 0; i < requests_.size(); ++i)
    if (requests_[i] != MPI_REQUEST_NULL) missing.insert(group_->world_ranks[static_cast<size_t>(parts_[i].peer)]);
  std::string ranks;
  for (int r : missing) ranks += fmt::format("{}{}", ranks.empty() ? "" : ", ", r);
  return fmt::format("{}: waited {} s for ranks {}", what_, seconds, ranks);
}

MpiProgress::MpiProgress(double timeout_seconds) : timeout_seconds_(timeout_seconds) {
  int is_initialised = 0, level = 0;
  MPI_Initialized(&is_initialised);
  if (is_initialised) fail(Status::internal, "MPI is initialised once in a process");
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level), "MPI_Init_thread");
  if (level < MPI_THREAD_SERIALIZED) fail(Status::rank, "this MPI was built without threads (MPI_THREAD_SERIALIZED)");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  thread_ = std::thread([this] { poll_in_background(); });
}

MpiProgress::~MpiProgress() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  outstanding_.notify_all();
  thread_.join();
  if (!failed_) {
    const bool failing = std::uncaught_exceptions() > 0 || !active_.empty();
    if (!leave_together(failing ? kFarewellSeconds : timeout_seconds_)) {
      std::fprintf(stderr, "onegather: a rank ends before the others\n");
      MPI_Abort(MPI_COMM_WORLD, static_cast<int>(Status::rank));
    }
  }
  if (active_.empty()) MPI_Finalize();  // else messages are under way that nobody will take
}

// Whether all ranks get here in time. A rank alone in MPI_Finalize would hang.
bool MpiProgress::leave_together(double seconds) {
  const double limit = now_seconds() + seconds;
  MPI_Request request = MPI_REQUEST_NULL;
  int together = 0;
  bool works = MPI_Ibarrier(MPI_COMM_WORLD, &request) == MPI_SUCCESS;
  while (works && !together && now_seconds() < limit) {
    works = MPI_Test(&request, &together, MPI_STATUS_IGNORE) == MPI_SUCCESS;
    if (!together) std::this_thread::sleep_for(kWaitInterval);
  }
  return together != 0;
}

void MpiProgress::progress_all() {
  for (const auto& task : active_) task->progress();
  if (std::erase_if(active_, [](const auto& task) { return task->done(); }) > 0) last_event_ = now_seconds();
}

void MpiProgress::poll_in_background() {
  std::unique_lock lock(mutex_);
  while (true) {
    outstanding_.wait(lock, [&] { return stop_ || (!active_.empty() && !waiting_); });
    if (stop_) return;
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

double MpiProgress::finish(MpiTask& task) {
  std::unique_lock lock(mutex_);
  waiting_ = true;
  const double begin = now_seconds();
  bool in_time = true;
  while (!task.done() && in_time) {
    progress_all();
    if (task.done()) break;
    const double waited = now_seconds() - begin;
    in_time = waited < timeout_seconds_;
    lock.unlock();
    if (waited < kEagerSeconds) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(kWaitInterval);
    }
    lock.lock();
  }
  waiting_ = false;
  const bool wake = !active_.empty();
  if (!in_time && !task.done()) {
    const std::string message = task.late(timeout_seconds_);
    throw Error(Status::rank, message);
  }
  lock.unlock();
  if (wake) outstanding_.notify_one();
  return task.finished();
}

void MpiProgress::abort(const std::string& reason) {
  const std::lock_guard lock(mutex_);  // no other call of MPI is under way
  if (failed_) return;
  failed_ = leave_together(kFarewellSeconds);
  if (failed_) return;
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  std::fprintf(stderr, "onegather: rank %d failed and stops the others: %s\n", rank, reason.c_str());
  std::fflush(stderr);
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(Status::rank));
  std::_Exit(static_cast<int>(Status::rank));
}

}  // namespace og

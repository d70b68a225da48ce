// What MPI needs to make progress while a rank computes. OpenMPI moves data only inside its calls, so one thread per
// process polls what is outstanding, sleeping between polls; a rank that waits polls by itself instead. Everything here
// and every call of MPI happens under one mutex (MPI_THREAD_SERIALIZED). Seen by parallel/comm/mpi.cpp alone.
#pragma once

#include <mpi.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "framework/core/tensor.h"
#include "parallel/comm/mpi_reports.h"

namespace og {

void check_mpi(int code, const std::string& what);

// One started verb: stages of point-to-point messages. A stage is posted when all messages of the one before are
// through; the verb is done when no stage is left. Stages hold the tensors they use.
class MpiTask {
 public:
  using Stage = std::function<void(MpiTask&)>;
  // call: "all_gather on axis sequence at mixer.forward", by this rank of the world. number: of the collective in its
  // group, from 0; -1: messages between some of its ranks.
  MpiTask(std::shared_ptr<const MpiGroup> group, std::string call, int rank, int64_t number, int tag,
          std::vector<Stage> stages)
      : group_(std::move(group)),
        call_(std::move(call)),
        rank_(rank),
        number_(number),
        tag_(tag),
        stages_(std::move(stages)) {}

  // For stages. Offsets and sizes in bytes; nothing is sent for 0 bytes, which both sides know.
  void send(int peer, const Tensor& t, int64_t begin, int64_t bytes);
  void receive(int peer, const Tensor& t, int64_t begin, int64_t bytes);

  void progress();
  bool done() const { return done_; }
  double finished() const;  // throws what went wrong
  const MpiGroup& group() const { return *group_; }
  std::string missing() const;  // "all_gather on axis sequence at mixer.forward for 2, 3"
  // What to say after waiting in vain: who has arrived and who has not, and what they are at.
  std::string late(double seconds, const std::map<int, RankReport>& reports) const;

 private:
  struct Fragment {
    int peer;
    int bytes;  // expected; -1: a send
  };
  void progress_messages();
  std::string what() const;
  std::vector<int> awaited(bool open) const;  // ranks of the world that messages of this stage come from, or go to

  std::shared_ptr<const MpiGroup> group_;
  std::string call_;
  int rank_;
  int64_t number_;
  int tag_;
  std::vector<Stage> stages_;
  size_t next_ = 0;
  std::vector<MPI_Request> requests_;
  std::vector<Fragment> fragments_;
  size_t num_open_ = 0;
  bool done_ = false;
  double completed_ = 0;
  std::exception_ptr error_;
};

class MpiProgress {
 public:
  explicit MpiProgress(double timeout_seconds);  // initialises MPI
  ~MpiProgress();                                // finalises it, or aborts if the other ranks do not get here

  void start(const std::shared_ptr<MpiTask>& task);
  double finish(MpiTask& task);
  void abort(const std::string& reason);  // see Comm::abort
  // Collective: the communicator of the ranks that pass the same color, ordered by key, into group.
  void split(MPI_Comm parent, int color, int key, const std::shared_ptr<MpiGroup>& group, const std::string& axis);
  void add(const std::shared_ptr<MpiGroup>& group, const std::string& axis);  // a group that was not made by split
  std::mutex& mutex() { return mutex_; }

 private:
  void poll_in_background();
  void progress_all();
  bool leave_together(double seconds);
  // How long a rank may wait: what follows, the other ranks' reports and the farewell, ends within the time-out.
  double patience() const;

  double timeout_seconds_;
  std::mutex mutex_;
  std::condition_variable outstanding_;
  std::vector<std::shared_ptr<MpiTask>> active_;
  MpiReports reports_;
  double last_event_ = 0;             // when a task started or ended
  const MpiTask* waiting_ = nullptr;  // the rank's thread polls until this one is done
  std::string doing_ = "computes";    // where it does not wait
  bool stop_ = false;
  bool failed_ = false;  // all ranks have agreed to end
  std::thread thread_;
};

}  // namespace og

// What MPI needs to make progress while a rank computes. OpenMPI moves data only inside its calls, so one thread per
// process polls what is outstanding, sleeping between polls; a rank that waits polls by itself instead. Everything here
// and every call of MPI happens under one mutex (MPI_THREAD_SERIALIZED). Seen by comm_mpi.cpp alone.
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

namespace og {

void check_mpi(int code, const std::string& what);

// A communicator and where its ranks are in the world.
struct MpiGroup {
  MPI_Comm comm = MPI_COMM_NULL;
  std::vector<int> world_ranks;
};

// One started verb: stages of point-to-point messages. A stage is posted when all messages of the one before are
// through; the verb is done when no stage is left. Stages hold the tensors they use.
class MpiTask {
 public:
  using Stage = std::function<void(MpiTask&)>;
  MpiTask(std::shared_ptr<const MpiGroup> group, std::string what, int tag, std::vector<Stage> stages)
      : group_(std::move(group)), what_(std::move(what)), tag_(tag), stages_(std::move(stages)) {}

  // For stages. Offsets and sizes in bytes; nothing is sent for 0 bytes, which both sides know.
  void send(int peer, const Tensor& t, int64_t begin, int64_t bytes);
  void receive(int peer, const Tensor& t, int64_t begin, int64_t bytes);

  void progress();
  bool done() const { return done_; }
  double finished() const;                 // throws what went wrong
  std::string late(double seconds) const;  // what to say after waiting in vain

 private:
  struct Part {
    int peer;
    int bytes;  // expected; -1: a send
  };
  void progress_messages();

  std::shared_ptr<const MpiGroup> group_;
  std::string what_;
  int tag_;
  std::vector<Stage> stages_;
  size_t next_ = 0;
  std::vector<MPI_Request> requests_;
  std::vector<Part> parts_;
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
  std::mutex& mutex() { return mutex_; }

 private:
  void poll_in_background();
  void progress_all();
  bool leave_together(double seconds);

  double timeout_seconds_;
  std::mutex mutex_;
  std::condition_variable outstanding_;
  std::vector<std::shared_ptr<MpiTask>> active_;
  double last_event_ = 0;  // when a task started or ended
  bool waiting_ = false;   // the rank's thread polls
  bool stop_ = false;
  bool failed_ = false;  // all ranks have agreed to end
  std::thread thread_;
};

}  // namespace og

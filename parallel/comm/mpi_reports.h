// Who has arrived where, told when it is too late. A rank whose time is up asks the ranks of the group what they are
// at; every process answers, whether it waits or computes, since its poll also looks here. So the message can tell a
// rank that waits elsewhere from one that computes and from one that says nothing (stopped, dead or cut off). Whoever
// was asked knows that the run is lost and need not wait for its own time to end. Seen by mpi_progress.cpp alone, under
// its mutex.
#pragma once

#include <mpi.h>

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace og {

// A communicator and where its ranks are in the world.
struct MpiGroup {
  MPI_Comm comm = MPI_COMM_NULL;
  std::vector<int> world_ranks;
  std::atomic<int64_t> started = 0;  // collectives that this rank has started here; send_recv is not counted
  uint64_t key = 0;                  // the same on all its ranks; set by MpiReports::add
};

// What a rank is at. started: in the group that was asked for; -1: it does not know the group.
struct RankReport {
  int64_t started = -1;
  std::string doing;
};

class MpiReports {
 public:
  void open();  // collective
  void close();
  void add(const std::shared_ptr<MpiGroup>& group, const std::string& axis);

  // Answers what has been asked and takes the answers that have come. doing: what this rank is at.
  void poll(const std::function<std::string()>& doing);
  // When another rank's time was up (now_seconds()); 0: it was not.
  double asked_at() const { return asked_at_; }

  void ask(const MpiGroup& group);
  bool complete() const { return answers_.size() == num_asked_; }
  const std::map<int, RankReport>& answers() const { return answers_; }  // by world rank

 private:
  struct Letter {
    uint64_t key;
    int64_t started;
    char doing[240];
  };
  void listen();
  void send(int rank, int tag, const Letter& letter);
  int64_t started_in(uint64_t key) const;

  MPI_Comm comm_ = MPI_COMM_NULL;  // null: not opened
  MPI_Request request_ = MPI_REQUEST_NULL;
  Letter heard_{};
  std::deque<std::pair<Letter, MPI_Request>> sent_;  // small and few: kept to the end of the process
  std::map<uint64_t, std::weak_ptr<const MpiGroup>> groups_;
  double asked_at_ = 0;
  size_t num_asked_ = 0;
  std::map<int, RankReport> answers_;
};

}  // namespace og

#include "parallel/comm/mpi_reports.h"

#include <algorithm>
#include <cstring>

#include "framework/core/error.h"
#include "framework/core/profile.h"
#include "framework/core/rng.h"

namespace og {

namespace {
constexpr int kAsk = 1, kAnswer = 2;
}  // namespace

void MpiReports::open() {
  MPI_Comm_dup(MPI_COMM_WORLD, &comm_);
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  listen();
}

void MpiReports::close() {
  MPI_Cancel(&request_);
  MPI_Wait(&request_, MPI_STATUS_IGNORE);
}

void MpiReports::listen() {
  MPI_Irecv(&heard_, sizeof heard_, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, comm_, &request_);
}

void MpiReports::add(const std::shared_ptr<MpiGroup>& group, const std::string& axis) {
  // Ranks make the groups that they share in the same order, so the same group gets the same number everywhere.
  std::string name = axis;
  for (int r : group->world_ranks) name += fmt::format(" {}", r);
  uint64_t number = 0;
  while (groups_.contains(group->key = random_key(number, name))) ++number;
  groups_[group->key] = group;
}

int64_t MpiReports::started_in(uint64_t key) const {
  const auto found = groups_.find(key);
  const auto group = found == groups_.end() ? nullptr : found->second.lock();
  return group ? group->started.load() : -1;
}

void MpiReports::send(int rank, int tag, const Letter& letter) {
  auto& [kept, request] = sent_.emplace_back(letter, MPI_REQUEST_NULL);
  MPI_Isend(&kept, sizeof kept, MPI_BYTE, rank, tag, comm_, &request);
}

void MpiReports::poll(const std::function<std::string()>& doing) {
  while (request_ != MPI_REQUEST_NULL) {  // null: not opened, or MPI has failed
    int come = 0;
    MPI_Status status;
    if (MPI_Test(&request_, &come, &status) != MPI_SUCCESS || !come) return;
    if (status.MPI_TAG == kAsk) {
      if (asked_at_ == 0) asked_at_ = now_seconds();
      Letter answer{heard_.key, started_in(heard_.key), {}};
      const std::string text = doing();
      std::memcpy(answer.doing, text.data(), std::min(text.size(), sizeof answer.doing - 1));
      send(status.MPI_SOURCE, kAnswer, answer);
    } else {
      answers_[status.MPI_SOURCE] = {heard_.started, heard_.doing};
    }
    listen();
  }
}

void MpiReports::ask(const MpiGroup& group) {
  int own = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &own);
  answers_.clear();
  num_asked_ = group.world_ranks.size() - 1;
  for (int r : group.world_ranks)
    if (r != own) send(r, kAsk, {group.key, 0, {}});
}

}  // namespace og

#include "framework/program/world.h"

#include <chrono>
#include <new>
#include <thread>

#include "framework/core/build.h"
#include "framework/core/log.h"
#include "framework/core/number.h"
#include "parallel/comm/agreement.h"
#include "parallel/comm/launched.h"

namespace og {

namespace {

Status status_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error)) return Status::usage;  // the limit of the machine or the job
  const auto* known = dynamic_cast<const Error*>(&error);
  return known ? known->status() : Status::internal;
}

std::string message_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error))
    return "out of memory: what this process may take (the machine, its control group, ulimit -v) is used up";
  if (status_of(error) != Status::internal) return error.what();
  return fmt::format("internal error: {}; this is a bug, please report it with the command line", error.what());
}

}  // namespace

std::unique_ptr<Comm> join_world(double timeout_seconds) {
  if (!mpi_is_launched()) {
    log::info("one rank (not started by mpirun or srun)");
    return make_self_comm();
  }
  std::unique_ptr<Comm> world = make_mpi_comm(timeout_seconds);
  log::set_rank(world->rank());
  log::info("{} over MPI", counted(world->size(), "rank"));
  if (world->rank() == 0) tell_launcher("ranks", fmt::format("{}", world->size()));
  return world;
}

int run_in_world(double timeout_seconds, const std::function<int(Comm&)>& body) {
  const std::unique_ptr<Comm> world = join_world(timeout_seconds);
  try {
    check_agreement(*world, "the build", build());
    return body(*world);
  } catch (const std::exception& e) {
    const std::string message = message_of(e);
    world->abort(message);  // returns if all ranks failed; else it prints the message and ends this process
    if (world->rank() == 0) log::error("{}", message);
    return static_cast<int>(status_of(e));
  }
}

int report_failure(const std::exception& error) {
  if (launched_ranks() > 1 && launched_rank() > 0) {
    // Rank 0 tells a mistake that all ranks have in common, and the launcher then ends this process. Where the mistake
    // is this rank's own, the process is still here after a while, and tells it.
    std::this_thread::sleep_for(std::chrono::seconds(3));
    log::set_rank(launched_rank());
  }
  log::error("{}", message_of(error));
  return static_cast<int>(status_of(error));
}

}  // namespace og

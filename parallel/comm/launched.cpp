#include "parallel/comm/launched.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "parallel/comm/comm.h"

namespace og {

int launched_ranks() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* text = std::getenv(name);
    if (text && std::atoi(text) > 0) return std::atoi(text);
  }
  // A Slurm job's own shell has the job's variables too; only a step that srun started has a number of tasks. A step of
  // one task without any MPI is a shell again (srun --pty bash): what is started in it is started by nobody.
  const char* text = std::getenv("SLURM_STEP_NUM_TASKS");
  const int tasks = text ? std::atoi(text) : 0;
  return tasks > 1 || std::getenv("PMIX_RANK") ? tasks : 0;
}

int launched_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    const char* text = std::getenv(name);
    if (text && launched_ranks() > 0) return std::atoi(text);
  }
  return 0;
}

bool launched_by_srun() { return std::getenv("SLURM_STEP_NUM_TASKS") && !std::getenv("OMPI_COMM_WORLD_SIZE"); }

void tell_launcher(const std::string& word, const std::string& text) {
  if (!std::getenv("ONEGATHER_RUN") || text.find('\n') != std::string::npos) return;
  const std::string line = fmt::format("\x1eonegather {}{}{}\n", word, text.empty() ? "" : " ", text);
  [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), line.size());  // one write: lines stay whole
}

void tell_failure(const std::string& reason) {
  tell_launcher("failed");
  std::fprintf(stderr, "onegather: %s\n", reason.c_str());
  std::fflush(stderr);
}

bool mpi_is_launched() { return launched_ranks() > 0; }

}  // namespace og

#include "parallel/comm/launched.h"

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

bool mpi_is_launched() { return launched_ranks() > 0; }

}  // namespace og

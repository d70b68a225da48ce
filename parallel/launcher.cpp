#include "parallel/launcher.h"

#include <cstdlib>

#include "parallel/comm.h"

namespace og {

int launched_ranks() {
  // A Slurm job's own shell has the job's variables too; only a step that srun started has a number of tasks.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    const char* text = std::getenv(name);
    if (text && std::atoi(text) > 0) return std::atoi(text);
  }
  return 0;
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

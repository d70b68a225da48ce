// What started this process: read from the environment that mpirun and srun set. Thread safe.
#pragma once

namespace og {

// The number of ranks that the launcher says it started; 0: no launcher.
int launched_ranks();
// This process's place among them; 0: the first, or no launcher.
int launched_rank();

// Whether srun itself started the ranks, and not an mpirun inside a job.
bool launched_by_srun();

}  // namespace og

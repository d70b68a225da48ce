// What started this process: read from the environment that mpirun and srun set. Thread safe.
#pragma once

namespace og {

// The number of ranks that the launcher says it started; 0: no launcher.
int launched_ranks();

}  // namespace og

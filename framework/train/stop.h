// Stop requests: SIGUSR1, SIGINT and SIGTERM set a flag that the training loop looks at between steps. A second
// SIGINT, from somebody at a terminal, ends the process at once; SIGTERM does not, since batch systems repeat it while
// the checkpoint is being written (Slurm's slurmd and srun both send it) and have SIGKILL for what does not end.
#pragma once

namespace og {

void catch_stop_signals();
bool stop_requested();

}  // namespace og

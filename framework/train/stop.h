// Stop requests: SIGUSR1, SIGINT and SIGTERM set a flag that the training loop looks at between steps. A second
// SIGINT, from somebody at a terminal, ends the process at once; SIGTERM does not, since batch systems repeat it while
// the checkpoint is being written (Slurm's slurmd and srun both send it) and have SIGKILL for what does not end.
#pragma once

#include <cstdint>
#include <memory>

namespace og {

void catch_stop_signals();
bool stop_requested();
// For tests of what ends a run, which must last until it is ended: with ONEGATHER_TEST_PAUSE=STEP in the environment
// every rank waits here, once it has done that step, for a stop request or its death.
void pause_for_tests(int64_t step);

// Catches the signals for as long as it lives, in a part of a command that is ended rather than finished; then they
// mean what they meant before.
class StopSignals {
 public:
  // ask: work asks stop_if_requested() often. exit: the process ends in the handler, with 130; for work in a library
  // that cannot be asked, while nothing half made is on disk.
  enum class Then { ask, exit };
  explicit StopSignals(Then then);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  struct Before;
  std::unique_ptr<Before> before_;
};

// Throws Error(Status::interrupted).
void stop_if_requested();

}  // namespace og

// What started this process, read from the environment that mpirun, srun and launch/ set, and what a script of launch/
// is told. Thread safe.
#pragma once

#include <string>

namespace og {

// The number of ranks that the launcher says it started; 0: no launcher.
int launched_ranks();
// This process's place among them; 0: the first, or no launcher.
int launched_rank();

// Whether srun itself started the ranks, and not an mpirun inside a job.
bool launched_by_srun();

// Where a script of launch/ listens (it sets ONEGATHER_RUN): the line "\x1eonegather WORD TEXT" on standard error,
// which the script takes out of what it shows. launch/README.md lists the words. Log lines are for people; no script
// reads them.
void tell_launcher(const std::string& word, const std::string& text = "");
// Says why this rank ends the run, and tells the launcher that it does.
void tell_failure(const std::string& reason);

}  // namespace og

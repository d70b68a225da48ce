// The lock of a run folder: at most one run writes there. Held by the open file `run.lock` (flock), so a killed process
// loses it however it dies; the file says who holds it. One rank of a run takes it.
#pragma once

#include <string>

namespace og {

class RunLock {
 public:
  // Waits up to wait_seconds for another run to end (ranks outlive a killed mpirun by about a second), then
  // Error(Status::data) naming its host and process. Makes the folder if there is none.
  explicit RunLock(const std::string& run_folder, double wait_seconds = 10);
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();

 private:
  int descriptor_ = -1;
};

}  // namespace og

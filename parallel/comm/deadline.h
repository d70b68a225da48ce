// A limit on calls that cannot be given one, such as MPI's own start and end: if it is still there when the time is up,
// the process says what it was doing and ends with status 5, whatever its other threads are stuck in.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace og {

class Deadline {
 public:
  // Within `seconds` the object must be destroyed.
  Deadline(std::string doing, double seconds);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace og

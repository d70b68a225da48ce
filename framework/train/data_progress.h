// What a person sees while files are made into tokens: on a terminal a line that is rewritten, elsewhere a line now and
// then; nothing for work of a second or two. Used by the thread that prepares.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace og {

class DataProgress {
 public:
  explicit DataProgress(const std::vector<std::string>& paths);
  ~DataProgress();  // wipes the line
  DataProgress(const DataProgress&) = delete;
  DataProgress& operator=(const DataProgress&) = delete;

  // read: bytes of the files as they lie on disk. Throws Error(Status::interrupted) where a stop was requested.
  void at(int64_t read);

 private:
  std::string name_;
  int64_t total_ = 0;
  bool terminal_, drawn_ = false;
  double begin_, said_;
};

}  // namespace og

// The ranks of a group by host. A host is a run of neighbouring ranks of the group that share a machine: where ranks
// are dealt to machines in turns every run is one rank, and what is built on this is right, if not fast.
#pragma once

#include "parallel/comm/comm.h"

namespace og {

class Hosts {
 public:
  explicit Hosts(Comm& comm);  // collective
  int count() const { return count_; }
  Comm& inside() { return *inside_; }  // the ranks of this host, in their order
  Comm& across() { return *across_; }  // the first ranks of all hosts, in their order; not to be used by other ranks

 private:
  int count_ = 0;
  std::unique_ptr<Comm> inside_, across_;
};

}  // namespace og

#include "parallel/comm/hosts.h"

namespace og {

Hosts::Hosts(Comm& comm) {
  const std::vector<std::string> names = comm.gather_text(comm.host(), Sites::startup);
  int own = 0;
  for (int rank = 0; rank < comm.size(); ++rank) {
    const auto r = static_cast<size_t>(rank);
    if (rank == 0 || names[r] != names[r - 1]) ++count_;
    if (rank == comm.rank()) own = count_ - 1;
  }
  inside_ = comm.split(own, comm.rank(), comm.axis());
  across_ = comm.split(inside_->rank() == 0 ? 0 : 1, comm.rank(), comm.axis());
}

Hosts& Comm::hosts() {
  if (!hosts_) hosts_ = std::make_shared<Hosts>(*this);
  return *hosts_;
}

}  // namespace og

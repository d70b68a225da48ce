// Ranks for tests: world(4, [](Comm& comm) { ... }) runs the body on four ranks that are threads of this process.
// Expectations inside work as outside; an exception on one rank ends all and is thrown here.
#pragma once

#include <functional>

#include "parallel/comm/comm.h"

namespace og {

inline void world(int num_ranks, const std::function<void(Comm&)>& body, ThreadWorldOptions options = {}) {
  if (num_ranks == 1 && options.delay_seconds == 0) {
    const auto self = make_self_comm();
    body(*self);
    return;
  }
  run_thread_world(num_ranks, body, options);
}

}  // namespace og

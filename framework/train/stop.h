// Stop requests: SIGUSR1, SIGINT and SIGTERM set a flag that the training loop looks at between steps. A second SIGINT
// or SIGTERM ends the process at once.
#pragma once

namespace og {

void catch_stop_signals();
bool stop_requested();

}  // namespace og

#include "framework/train/stop.h"

#include <csignal>
#include <initializer_list>

namespace og {

namespace {

volatile std::sig_atomic_t requested = 0;

extern "C" void on_stop_signal(int signal_number) {
  if (requested && signal_number == SIGINT) {
    std::signal(signal_number, SIG_DFL);
    std::raise(signal_number);
  }
  requested = 1;
}

}  // namespace

void catch_stop_signals() {
  for (int s : {SIGUSR1, SIGINT, SIGTERM}) {
    struct sigaction action = {};
    action.sa_handler = on_stop_signal;
    action.sa_flags = SA_RESTART;
    sigaction(s, &action, nullptr);
  }
}

bool stop_requested() { return requested != 0; }

}  // namespace og

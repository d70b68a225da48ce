#include "framework/train/stop.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <thread>

#include "framework/core/error.h"
#include "framework/core/log.h"

namespace og {

namespace {

volatile std::sig_atomic_t requested = 0;
volatile std::sig_atomic_t exits = 0;
constexpr int kSignals[] = {SIGUSR1, SIGINT, SIGTERM};

extern "C" void on_stop_signal(int signal_number) {
  if (exits) {
    constexpr char kSaid[] = "error: interrupted; nothing half made is left\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, kSaid, sizeof kSaid - 1);
    _exit(static_cast<int>(Status::interrupted));
  }
  if (requested && signal_number == SIGINT) {
    std::signal(signal_number, SIG_DFL);
    std::raise(signal_number);
  }
  requested = 1;
}

}  // namespace

void catch_stop_signals() {
  for (int s : kSignals) {
    struct sigaction action = {};
    action.sa_handler = on_stop_signal;
    action.sa_flags = SA_RESTART;
    sigaction(s, &action, nullptr);
  }
}

bool stop_requested() { return requested != 0; }

void stop_if_requested() {
  if (stop_requested())
    fail(Status::interrupted,
         "interrupted while data was prepared; nothing half made is left, the same command begins "
         "with it again");
}

struct StopSignals::Before {
  struct sigaction actions[std::size(kSignals)] = {};
  std::sig_atomic_t exits = 0;
};

StopSignals::StopSignals(Then then) : before_(std::make_unique<Before>()) {
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], nullptr, &before_->actions[i]);
  before_->exits = exits;
  exits = then == Then::exit;
  catch_stop_signals();
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before_->actions[i], nullptr);
  exits = before_->exits;
}

void pause_for_tests(int64_t step) {
  const char* text = std::getenv("ONEGATHER_TEST_PAUSE");
  if (!text || step != std::atoll(text) || stop_requested()) return;
  log::info("paused at step {} (ONEGATHER_TEST_PAUSE) until it is told to stop", step);
  while (!stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

}  // namespace og

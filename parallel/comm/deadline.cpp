#include "parallel/comm/deadline.h"

#include <chrono>
#include <cstdlib>

#include "framework/core/error.h"
#include "parallel/comm/launched.h"

namespace og {

Deadline::Deadline(std::string doing, double seconds) {
  thread_ = std::thread([this, doing = std::move(doing), seconds] {
    std::unique_lock lock(mutex_);
    if (done_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return over_; })) return;
    tell_failure(fmt::format("rank {} of {}: {}: not done within {:g} s; a rank is missing, stopped or not reached",
                             launched_rank(), launched_ranks(), doing, seconds));
    std::_Exit(static_cast<int>(Status::rank));
  });
}

Deadline::~Deadline() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  done_.notify_one();
  thread_.join();
}

}  // namespace og

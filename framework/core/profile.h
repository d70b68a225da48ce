// Profile: where the time of one rank goes. Scopes add seconds to a part of the step; with events on, named intervals
// are kept too (the overlap test reads them). Not thread safe: only the rank's own thread writes. Clock: seconds,
// steady.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace og {

double now_seconds();  // steady clock, comparable between threads of one host process

enum class Part : uint8_t { products, mixers, attention, routing, loss, optimizer, communication, other };
constexpr int kNumParts = 8;
const char* name_of(Part part);

struct TimedEvent {
  std::string name;  // "mixer.forward start", "mixer.local", "mixer.forward wait"
  double begin = 0, end = 0;
};

class Profile {
 public:
  // The part's own time: a nested scope's seconds are taken off the enclosing scope.
  class Scope {
   public:
    Scope(Profile* profile, Part part);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Profile* profile_;
    Part part_;
    double begin_;
    double nested_before_;
  };

  double seconds(Part part) const { return seconds_[static_cast<size_t>(part)]; }
  void reset() {
    seconds_.fill(0);
    events_.clear();
    product_flops_ = 0;
  }

  // Floating point operations of matrix products since the last reset.
  void count_product(double flops) { product_flops_ += flops; }
  double product_flops() const { return product_flops_; }

  void keep_events(bool keep) { keep_events_ = keep; }
  void event(std::string name, double begin, double end) {
    if (keep_events_) events_.push_back({std::move(name), begin, end});
  }
  const std::vector<TimedEvent>& events() const { return events_; }

 private:
  std::array<double, kNumParts> seconds_{};
  double nested_ = 0;
  double product_flops_ = 0;
  bool keep_events_ = false;
  std::vector<TimedEvent> events_;
};

}  // namespace og

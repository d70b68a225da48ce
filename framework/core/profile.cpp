#include "framework/core/profile.h"

#include <chrono>

namespace og {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

const char* name_of(Part part) {
  switch (part) {
    case Part::products:
      return "products";
    case Part::mixers:
      return "mixers";
    case Part::attention:
      return "attention";
    case Part::routing:
      return "routing";
    case Part::loss:
      return "loss";
    case Part::optimizer:
      return "optimizer";
    case Part::communication:
      return "communication";
    case Part::other:
      return "other";
  }
  return "?";
}

Profile::Scope::Scope(Profile* profile, Part part)
    : profile_(profile), part_(part), begin_(now_seconds()), nested_before_(profile ? profile->nested_ : 0) {
  if (profile_) profile_->nested_ = 0;
}

Profile::Scope::~Scope() {
  if (!profile_) return;
  const double whole = now_seconds() - begin_;
  profile_->seconds_[static_cast<size_t>(part_)] += whole - profile_->nested_;
  profile_->nested_ = nested_before_ + whole;
}

}  // namespace og

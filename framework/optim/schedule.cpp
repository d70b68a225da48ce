#include "framework/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace og {

double learning_rate(const Schedule& s, double rate, int64_t step, int64_t num_steps) {
  if (step <= s.warmup_steps) return rate * static_cast<double>(step) / static_cast<double>(s.warmup_steps);
  const int64_t decay_from =
      s.type == ScheduleType::wsd ? std::max(s.warmup_steps, num_steps - s.decay_steps) : s.warmup_steps;
  if (step <= decay_from) return rate;
  const double length = static_cast<double>(std::max<int64_t>(1, num_steps - decay_from));
  const double t = std::min(1.0, static_cast<double>(step - decay_from) / length);
  const double fall = s.type == ScheduleType::cosine ? 0.5 * (1 + std::cos(std::numbers::pi * t)) : 1 - t;
  return rate * (s.final_ratio + (1 - s.final_ratio) * fall);
}

}  // namespace og

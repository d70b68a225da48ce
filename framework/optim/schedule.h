// Learning-rate schedules. Every one warms up linearly over warmup_steps (step 1 has rate / warmup_steps), then:
//   cosine  falls along half a cosine to final_ratio x rate at the last step
//   linear  falls linearly to final_ratio x rate at the last step
//   wsd     stays, then falls linearly to final_ratio x rate over the last decay_steps (warm-up, stable, decay)
#pragma once

#include <cstdint>

namespace og {

enum class ScheduleType : uint8_t { cosine, linear, wsd };

struct Schedule {
  ScheduleType type = ScheduleType::cosine;
  int64_t warmup_steps = 0;
  int64_t decay_steps = 0;  // wsd only
  double final_ratio = 0.1;
};

// The rate of step 1 .. num_steps.
double learning_rate(const Schedule& schedule, double rate, int64_t step, int64_t num_steps);

}  // namespace og

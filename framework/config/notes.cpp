#include "framework/config/notes.h"

#include <algorithm>

namespace og {

std::vector<std::string> config_notes(const Config& config) {
  std::vector<std::string> notes;
  const Schedule& s = config.train.schedule;
  const int64_t steps = config.train.num_steps;
  if (steps == 0) return notes;
  const double rate = config.train.learning_rate;
  if (s.warmup_steps >= steps)
    notes.push_back(
        fmt::format("train.schedule.warmup_steps: {}, as long as the run or longer (train.num_steps {}): the learning "
                    "rate rises to "
                    "{:.2e} of {:.2e} and never falls; shorten the one or lengthen the other",
                    s.warmup_steps, steps, learning_rate(s, rate, steps, steps), rate));
  if (s.type != ScheduleType::wsd && s.decay_steps > 0)
    notes.push_back(fmt::format(
        "train.schedule.decay_steps: {}, read with type: wsd alone; cosine and linear fall from the end of the warm-up "
        "to the last step",
        s.decay_steps));
  if (s.type != ScheduleType::wsd || s.warmup_steps >= steps) return notes;
  if (s.decay_steps == 0)
    notes.push_back(fmt::format(
        "train.schedule.decay_steps: 0 with type: wsd: the learning rate stays {:.2e} to the end; a tenth of "
        "the run: train.schedule.decay_steps={}",
        rate, std::max<int64_t>(1, steps / 10)));
  else if (s.warmup_steps + s.decay_steps > steps)
    notes.push_back(fmt::format(
        "train.schedule: warm-up {} + decay {} are more than the {} steps of the run: the decay takes {}, those after "
        "the warm-up",
        s.warmup_steps, s.decay_steps, steps, steps - s.warmup_steps));
  return notes;
}

}  // namespace og

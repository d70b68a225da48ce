// What a person sees of a run: a bar with the time left on a terminal, plain lines every log_every steps elsewhere.
#pragma once

#include <string>
#include <vector>

#include "framework/train/metrics.h"

namespace og {

class Progress {
 public:
  // terminal: draw a bar (on_terminal() and this is rank 0).
  Progress(int64_t num_steps, int64_t log_every, bool terminal);
  ~Progress();
  void step(const StepMetrics& metrics);
  void finish();  // leaves the last state of the bar on the screen

 private:
  int64_t num_steps_, log_every_;
  bool terminal_;
  bool drawn_ = false;
  int64_t first_step_ = 0;
  double begin_ = 0, last_drawn_ = 0;
};

// Standard error ends on a terminal: itself, or through a launcher that says so with ONEGATHER_COLUMNS, the terminal's
// width (mpirun puts a pipe between).
bool on_terminal();

// The fields joined by two spaces, in at most `width` characters: what does not fit is left out whole, the last named
// first. A first field that is too long alone is left out too.
std::string fitted(const std::vector<std::string>& fields, size_t width);

}  // namespace og

// Pictures drawn by gnuplot. loss.png: the training loss of a run over its steps, with the evaluation loss where there
// is one.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "framework/core/problem.h"

namespace og {

// From a run's metrics.jsonl. Without gnuplot, or if it fails: returns what is wrong and how to mend it.
std::optional<Problem> plot_loss(const std::string& metrics_path, const std::string& png_path,
                                 const std::string& title);

// Tokens a second over length, both logarithmic, one line a name. Returns as plot_loss does.
struct SpeedLine {
  std::string name;
  std::vector<std::pair<double, double>> points;
};
std::optional<Problem> plot_speed(const std::vector<SpeedLine>& lines, const std::string& png_path,
                                  const std::string& title);

}  // namespace og

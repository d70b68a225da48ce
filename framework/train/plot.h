// loss.png: the training loss of a run over its steps, with the evaluation loss where there is one. Drawn by gnuplot.
#pragma once

#include <string>

namespace og {

// From a run's metrics.jsonl. Without gnuplot, or if it fails: returns what is wrong and how to mend it; else "".
std::string plot_loss(const std::string& metrics_path, const std::string& png_path, const std::string& title);

}  // namespace og

// Fits lines and planes to timings: the constants x for which sum (features . x - value)^2 / scale^2 is least. Where
// scale is the timing itself, relative residuals count, and short timings weigh as much as long ones. A constant is a
// cost: it is 0 where it would be negative, or where the observations do not tell it from those before it.
#pragma once

#include <vector>

namespace og {

struct Observation {
  std::vector<double> features;  // as many in every observation
  double value = 0, scale = 1;
};

std::vector<double> fit_costs(const std::vector<Observation>& observations);

}  // namespace og

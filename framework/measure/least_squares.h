// Lines and planes through timings: constants x that make sum (features . x - value)^2 / scale^2 least. With scale the
// timing itself, relative residuals count, so that short ones weigh as much as long ones. A constant is a cost: one
// that would come out negative, or that the observations do not tell from those before it, is 0.
#pragma once

#include <vector>

namespace og {

struct Observation {
  std::vector<double> features;  // as many in every observation
  double value = 0, scale = 1;
};

std::vector<double> fit_costs(const std::vector<Observation>& observations);

}  // namespace og

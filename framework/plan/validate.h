// `onegather plan --validate`: forecasts compared with what is measured in the same run, and the cost model with
// published tables.
#pragma once

#include <string>
#include <vector>

#include "parallel/comm/comm.h"

namespace og {

struct Validation {
  std::string name;
  double forecast_bytes = 0, measured_bytes = 0;
  double forecast_seconds = 0, measured_seconds = 0;
  double memory_error() const { return forecast_bytes / measured_bytes - 1; }
  double time_error() const { return forecast_seconds / measured_seconds - 1; }
};

// Five configs on this world: the machine is measured, steps are forecast, then run. Collective.
std::vector<Validation> validate_plans(Comm& world);
std::string describe(const std::vector<Validation>& rows);

}  // namespace og

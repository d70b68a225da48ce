// The time of a step:
//   step     = compute + exposed communication + pipeline bubble + overhead
//   compute  = FLOPs by part / the cluster's rates, saved bytes x passes and the optimizer's bytes / its memory rate
//   exposed  = a collective's seconds beyond the local work that it can hide behind
//   bubble   = a micro step through all stages less one of the slowest, over the chunks of a stage (arXiv 2104.04473)
// All are those of the slowest stage, for which the others wait.
#pragma once

#include "framework/plan/layout_work.h"

namespace og {

TimeForecast forecast_time(const LayoutWork& work);

}  // namespace og

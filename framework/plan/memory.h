// Memory of the rank that takes most: each pipeline stage with its own layers, its share of embedding and head and the
// micro steps that its schedule holds between forward and backward.
#pragma once

#include "framework/plan/layout_work.h"

namespace og {

MemoryForecast forecast_memory(const LayoutWork& work);

}  // namespace og

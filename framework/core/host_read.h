// The one place where the host reads what kernels computed during a step. A device stops here until all that was
// launched is done, so a step reads as seldom as it can: calls are counted (Context::host_reads), summary.json tells
// how many a step makes (host_reads_per_step), and a test holds the number.
#pragma once

#include <vector>

#include "framework/core/context.h"

namespace og {

// All elements of x, of its own type, in one read however many they are. T: float, double, int32_t, int64_t.
template <class T>
std::vector<T> host_read(Context& cx, const Tensor& x);

}  // namespace og

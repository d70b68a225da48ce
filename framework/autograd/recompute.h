// recompute: runs a region without keeping anything for backward but its input, and runs it again when backward gets
// there. Entry states and routing decisions are pinned (Pins), so no AllGather of states happens twice and no token
// changes its expert between the passes.
#pragma once

#include <functional>
#include <vector>

#include "framework/autograd/tape.h"

namespace og {

// region(tape, input): one Value in, several out (the block's output first, then its auxiliary losses).
// `parameters`: every leaf the region uses; they must not be complete before the region was walked.
using Region = std::function<std::vector<Value>(Tape&, const Value&)>;
std::vector<Value> recompute(Tape& tape, const Region& region, const Value& input, std::span<const Value> parameters);

}  // namespace og

// NaN and infinity among numbers as they lie in memory: the check that saving, loading and reports of bad numbers
// share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "framework/core/types.h"

namespace og {

// The place of the first element that is NaN or infinite, or -1; whole numbers never are. `bytes` holds elements of
// `dtype`, at any address.
int64_t first_not_finite(DType dtype, std::span<const std::byte> bytes);

}  // namespace og

// How a dim is cut over ranks as evenly as possible: sizes differ by at most one, longer parts first.
#pragma once

#include <cstdint>
#include <vector>

namespace og {

// Where each part begins, and the end: num_ranks + 1 entries.
std::vector<int64_t> split_evenly(int64_t n, int num_ranks);

// The size of each part.
std::vector<int64_t> even_extents(int64_t n, int num_ranks);

}  // namespace og

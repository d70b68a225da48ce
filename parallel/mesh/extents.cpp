#include "parallel/mesh/extents.h"

namespace og {

std::vector<int64_t> split_evenly(int64_t n, int num_ranks) {
  std::vector<int64_t> first{0};
  for (int64_t part : even_extents(n, num_ranks)) first.push_back(first.back() + part);
  return first;
}

std::vector<int64_t> even_extents(int64_t n, int num_ranks) {
  std::vector<int64_t> extents;
  for (int r = 0; r < num_ranks; ++r) extents.push_back(n / num_ranks + (r < n % num_ranks));
  return extents;
}

}  // namespace og

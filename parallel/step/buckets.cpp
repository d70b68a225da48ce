#include "parallel/step/buckets.h"

#include <algorithm>
#include <unordered_map>

#include "parallel/mesh/collectives.h"

namespace og {

ElementRange Bucket::own_part(size_t k, int64_t item_count) const {
  const int64_t begin = std::max(begins[k], own.begin);
  const int64_t end = std::min(begins[k] + item_count, own.begin + own.count);
  return begin < end ? ElementRange{begin - begins[k], end - begin} : ElementRange{};
}

std::vector<Bucket> lay_out_buckets(std::span<const BucketItem> items, int64_t bucket_bytes) {
  std::vector<Bucket> buckets;
  std::unordered_map<Comm*, size_t> filling;
  for (size_t i = items.size(); i-- > 0;) {
    const BucketItem& item = items[i];
    if (item.group->size() == 1 || item.count == 0) continue;
    auto [found, first] = filling.try_emplace(item.group, buckets.size());
    if (!first) {
      const Bucket& b = buckets[found->second];
      if (b.dtype != item.dtype || (b.count + item.count) * size_of(item.dtype) > bucket_bytes) {
        found->second = buckets.size();
        first = true;
      }
    }
    if (first) {
      buckets.emplace_back();
      buckets.back().group = item.group;
      buckets.back().dtype = item.dtype;
    }
    Bucket& b = buckets[found->second];
    b.items.push_back(i);
    b.begins.push_back(b.count);
    b.count += item.count;
  }
  for (Bucket& b : buckets) {
    b.pieces = even_extents(b.count, b.group->size());
    for (int r = 0; r < b.group->rank(); ++r) b.own.begin += b.pieces[static_cast<size_t>(r)];
    b.own.count = b.pieces[static_cast<size_t>(b.group->rank())];
  }
  return buckets;
}

}  // namespace og

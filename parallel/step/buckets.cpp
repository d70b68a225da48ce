#include "parallel/step/buckets.h"

#include <algorithm>
#include <unordered_map>

#include "parallel/mesh/collectives.h"

namespace og {

namespace {

// The part of an item of `count` elements at `begin` of a bucket that lies in the piece, in the item's elements.
ElementRange part_in(const ElementRange& piece, int64_t begin, int64_t count) {
  const int64_t from = std::max(begin, piece.begin), to = std::min(begin + count, piece.begin + piece.count);
  return from < to ? ElementRange{from - begin, to - from} : ElementRange{};
}

}  // namespace

BucketLayout::BucketLayout(std::vector<BucketItem> items, OptimizerSharding sharding, int64_t bucket_bytes)
    : sharding_(sharding), items_(std::move(items)), bucket_of_(items_.size(), kNone) {
  for (const BucketItem& item : items_) own_.push_back({0, item.count()});
  fill_buckets(bucket_bytes);
  for (size_t i = 0; i < buckets_.size(); ++i) {
    Bucket& b = buckets_[i];
    b.pieces = even_extents(b.count, b.group->size());
    for (int r = 0; r < b.group->rank(); ++r) b.own.begin += b.pieces[static_cast<size_t>(r)];
    b.own.count = b.pieces[static_cast<size_t>(b.group->rank())];
    for (size_t k = 0; k < b.items.size(); ++k) {
      bucket_of_[b.items[k]] = i;
      if (sharding == OptimizerSharding::zero1)
        own_[b.items[k]] = part_in(b.own, b.begins[k], items_[b.items[k]].count());
    }
  }
}

void BucketLayout::fill_buckets(int64_t bucket_bytes) {
  std::unordered_map<Comm*, size_t> filling;
  for (size_t i = items_.size(); i-- > 0;) {
    const BucketItem& item = items_[i];
    Comm* group = item.replication.group;
    const DType dtype = item.parameter.dtype();
    if (group->size() == 1 || item.count() == 0) continue;
    auto [found, first] = filling.try_emplace(group, buckets_.size());
    if (!first) {
      const Bucket& b = buckets_[found->second];
      if (b.dtype != dtype || (b.count + item.count()) * size_of(dtype) > bucket_bytes) {
        found->second = buckets_.size();
        first = true;
      }
    }
    if (first) {
      buckets_.emplace_back();
      buckets_.back().group = group;
      buckets_.back().dtype = dtype;
    }
    Bucket& b = buckets_[found->second];
    b.items.push_back(i);
    b.begins.push_back(b.count);
    b.count += item.count();
  }
}

int64_t BucketLayout::own_count() const {
  int64_t n = 0;
  for (const ElementRange& range : own_) n += range.count;
  return n;
}

}  // namespace og

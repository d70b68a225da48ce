// Buckets: how the parameters' elements are laid one after another for the collectives that complete gradients and,
// with an optimizer that is cut over ranks (ZeRO-1, arXiv 1910.02054), hand updated weights round. One BucketLayout is
// both the optimizer's and the reducer's, so that whoever updates and whoever reduces mean the same pieces. It follows
// from the parameters alone and is the same on every rank.
//
// Rank r of a bucket's group owns piece r of its elements. Pieces are cut without regard to where parameters end; they
// differ by at most one element, and in a bucket of fewer elements than ranks the last are empty.
#pragma once

#include <vector>

#include "framework/autograd/value.h"
#include "parallel/step/replication.h"

namespace og {

inline constexpr int64_t kBucketBytes = int64_t{4} << 20;

enum class OptimizerSharding : uint8_t {
  none,  // every rank has the whole sums and updates all that it holds
  zero1  // a rank has the sums of its own pieces, updates those, and receives the rest
};

// One parameter as this rank holds it: a leaf.
struct BucketItem {
  Value parameter;
  Replication replication;
  int64_t count() const { return parameter.shape().count(); }
};

// Elements [begin, begin + count) of a flat parameter.
struct ElementRange {
  int64_t begin = 0, count = 0;
};

struct Bucket {
  Comm* group = nullptr;
  DType dtype = DType::f32;
  std::vector<size_t> items;    // last created first: the order in which backward meets them
  std::vector<int64_t> begins;  // where each begins in the bucket
  int64_t count = 0;            // elements
  std::vector<int64_t> pieces;  // elements of each rank
  ElementRange own;             // this rank's piece
};

class BucketLayout {
 public:
  // items: in the order of creation, the same on every rank. A bucket holds items of one group and one type, an item
  // larger than bucket_bytes alone. Items whose group is this rank alone are in none, nor are empty ones: another
  // pipeline stage's, which no backward pass of this one would ever report as complete.
  BucketLayout(std::vector<BucketItem> items, OptimizerSharding sharding, int64_t bucket_bytes = kBucketBytes);

  OptimizerSharding sharding() const { return sharding_; }
  const std::vector<BucketItem>& items() const { return items_; }
  const std::vector<Bucket>& buckets() const { return buckets_; }
  static constexpr size_t kNone = ~size_t{0};
  size_t bucket_of(size_t item) const { return bucket_of_[item]; }  // kNone: in no bucket

  // The elements of an item whose sums this rank has and which it updates: all, or with zero1 those that lie in its
  // piece of the bucket, which may be none.
  ElementRange own(size_t item) const { return own_[item]; }
  int64_t own_count() const;  // elements, over all items

 private:
  void fill_buckets(int64_t bucket_bytes);

  OptimizerSharding sharding_;
  std::vector<BucketItem> items_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_;
  std::vector<ElementRange> own_;
};

}  // namespace og

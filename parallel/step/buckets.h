// Buckets: how the parameters' elements are laid one after another for the collectives that complete gradients and,
// with an optimizer that is cut over ranks (ZeRO-1, arXiv 1910.02054), hand updated weights round. A pure function of
// the parameters, the same on every rank, so that whoever reduces and whoever updates agree without speaking.
//
// Rank r of a bucket's group owns piece r of its elements. Pieces are cut without regard to where parameters end; they
// differ by at most one element, and in a bucket of fewer elements than ranks the last are empty.
#pragma once

#include <span>
#include <vector>

#include "framework/core/tensor.h"
#include "parallel/comm/comm.h"

namespace og {

inline constexpr int64_t kBucketBytes = int64_t{4} << 20;

// One parameter as this rank holds it. group: the ranks over whose sum its gradient is complete.
struct BucketItem {
  Comm* group = nullptr;
  DType dtype = DType::f32;
  int64_t count = 0;
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

  // The part of the k-th item that lies in this rank's piece, in the item's elements; it may be empty.
  ElementRange own_part(size_t k, int64_t item_count) const;
};

// A bucket holds items of one group and one type, an item larger than bucket_bytes alone. Items whose group is this
// rank alone are in none, nor are empty ones: another pipeline stage's, which no backward pass of this one would ever
// report as complete.
std::vector<Bucket> lay_out_buckets(std::span<const BucketItem> items, int64_t bucket_bytes = kBucketBytes);

}  // namespace og

// A dim cut over ranks, in the two orders it has in memory: in the tensor, [outer, sum of extents, inner], and rank by
// rank as transports move it, [rank][outer, extents[rank], inner]. For the outermost dim the two are the same.
#pragma once

#include <span>
#include <vector>

#include "framework/core/context.h"

namespace og {

class RankBlocks {
 public:
  // shape: of the whole tensor or of a part; its `dim` is not looked at. dim may be negative (from the end).
  RankBlocks(const Shape& shape, int dim, std::span<const int64_t> extents);

  Shape part_shape(int rank) const { return with_dim(extents_[static_cast<size_t>(rank)]); }
  Shape whole_shape() const { return with_dim(first_.back()); }
  const std::vector<int64_t>& rows() const { return rows_; }  // rows of `inner` elements that each rank holds
  // A tensor as the rows that transports move.
  Tensor as_rows(const Tensor& t) const;

  bool same_order() const { return outer_ == 1; }
  void whole_to_ranks(const Stream& stream, const Tensor& by_rank, const Tensor& whole) const;
  void ranks_to_whole(const Stream& stream, const Tensor& whole, const Tensor& by_rank) const;
  // part = the rank's piece of whole
  void cut(const Stream& stream, const Tensor& part, const Tensor& whole, int rank) const;

 private:
  Shape with_dim(int64_t extent) const;
  Tensor piece(const Tensor& by_rank, size_t rank) const;  // a rank's piece where all lie rank by rank
  Shape shape_;
  int dim_;
  int64_t outer_ = 1, inner_ = 1;
  std::vector<int64_t> extents_, first_, rows_;
};

}  // namespace og

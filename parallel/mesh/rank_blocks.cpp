#include "parallel/mesh/rank_blocks.h"

#include "framework/ops/ranges.h"

namespace og {

RankBlocks::RankBlocks(const Shape& shape, int dim, std::span<const int64_t> extents)
    : shape_(shape), dim_(dim < 0 ? shape.rank() + dim : dim), extents_(extents.begin(), extents.end()), first_{0} {
  OG_CHECK(0 <= dim_ && dim_ < shape.rank(), "dim {} of a tensor {}", dim, shape.str());
  for (int i = 0; i < dim_; ++i) outer_ *= shape[i];
  inner_ = shape.count_from(dim_ + 1);
  for (int64_t e : extents_) {
    first_.push_back(first_.back() + e);
    rows_.push_back(outer_ * e);
  }
}

Shape RankBlocks::with_dim(int64_t extent) const {
  Shape s = shape_;
  s.set(dim_, extent);
  return s;
}

Tensor RankBlocks::as_rows(const Tensor& t) const { return t.reshape({outer_ * t.size(dim_), inner_}); }

Tensor RankBlocks::piece(const Tensor& by_rank, size_t rank) const {
  const int64_t begin = outer_ * first_[rank];
  return by_rank.reshape({outer_ * first_.back(), inner_})
      .slice(begin, begin + rows_[rank])
      .reshape(part_shape(static_cast<int>(rank)));
}

void RankBlocks::whole_to_ranks(const Stream& stream, const Tensor& by_rank, const Tensor& whole) const {
  for (size_t r = 0; r < extents_.size(); ++r)
    move_range(stream, dim_, piece(by_rank, r), 0, Put::write, whole, first_[r], extents_[r]);
}

void RankBlocks::ranks_to_whole(const Stream& stream, const Tensor& whole, const Tensor& by_rank) const {
  for (size_t r = 0; r < extents_.size(); ++r)
    move_range(stream, dim_, whole, first_[r], Put::write, piece(by_rank, r), 0, extents_[r]);
}

void RankBlocks::cut(const Stream& stream, const Tensor& part, const Tensor& whole, int rank) const {
  const auto r = static_cast<size_t>(rank);
  move_range(stream, dim_, part, 0, Put::write, whole, first_[r], extents_[r]);
}

}  // namespace og

#include "parallel/mesh/rank_blocks.h"

#include "parallel/comm/reduction.h"

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

// f(offset in whole, offset in the part, count), in elements.
template <class F>
void RankBlocks::for_each_run(size_t rank, F&& f) const {
  const int64_t n = extents_[rank] * inner_;
  for (int64_t o = 0; o < outer_; ++o) f((o * first_.back() + first_[rank]) * inner_, o * n, n);
}

void RankBlocks::whole_to_ranks(const Tensor& by_rank, const Tensor& whole) const {
  const int64_t size = size_of(whole.dtype());
  for (size_t r = 0; r < extents_.size(); ++r)
    for_each_run(r, [&, begin = outer_ * first_[r] * inner_](int64_t in_whole, int64_t in_part, int64_t n) {
      copy_bytes(by_rank, (begin + in_part) * size, whole, in_whole * size, n * size);
    });
}

void RankBlocks::ranks_to_whole(const Tensor& whole, const Tensor& by_rank) const {
  const int64_t size = size_of(whole.dtype());
  for (size_t r = 0; r < extents_.size(); ++r)
    for_each_run(r, [&, begin = outer_ * first_[r] * inner_](int64_t in_whole, int64_t in_part, int64_t n) {
      copy_bytes(whole, in_whole * size, by_rank, (begin + in_part) * size, n * size);
    });
}

void RankBlocks::cut(const Tensor& part, const Tensor& whole, int rank) const {
  const int64_t size = size_of(whole.dtype());
  for_each_run(static_cast<size_t>(rank), [&](int64_t in_whole, int64_t in_part, int64_t n) {
    copy_bytes(part, in_part * size, whole, in_whole * size, n * size);
  });
}

}  // namespace og

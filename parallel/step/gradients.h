// GradientReducer: completes the gradients of parameters by summing each over its group of ranks, while backward still
// runs. Parameters are laid in buckets (parallel/step/buckets.h), last created first (the order in which backward meets
// them); a bucket's collective starts as soon as its last gradient is there and all buckets before it have started, so
// that every rank starts them in the same order. The gradients of a bucket lie side by side in one tensor, where
// backward writes them and the collective takes them. One per rank; refers to context and layout.
//
// OptimizerSharding::none: all_reduce, and every rank has the sums. zero1: reduce_scatter; a slot then holds sums only
// in the elements of this rank's pieces, and what it holds elsewhere is this rank's own part, of use to nobody.
//
// Use: for the last micro step of each optimizer step begin(), backward with Tape::on_leaf_ready calling ready(),
// finish(). Site "gradients".
#pragma once

#include <unordered_map>
#include <vector>

#include "parallel/step/buckets.h"

namespace og {

class GradientReducer {
 public:
  GradientReducer(Context& cx, const BucketLayout& layout);
  GradientReducer(Context& cx, BucketLayout&& layout) = delete;  // it is referred to

  void begin();
  void ready(Slot& slot);  // this rank's gradient is complete; slots of no item are ignored
  void finish();           // what was not ready counts as ready now; all sums are in the slots when it returns

  // sum [1] f64 grows by this rank's part of the squared norm of the whole model's complete gradient. Summed over the
  // world every element counts once: but for rounding in f64 the same at all layouts.
  void add_square_norm(const Tensor& sum);

 private:
  struct Flight {
    size_t missing = 0;
    Tensor flat;   // the gradients of the bucket's items, for good
    Tensor piece;  // zero1: the sums of this rank's piece, while they travel
    Pending pending;
  };
  Slot& slot(size_t item) const { return *layout_.items()[item].parameter.slot(); }
  bool whole() const { return layout_.sharding() == OptimizerSharding::none; }
  void start_complete_buckets();
  void land(const Bucket& b, Flight& flight);

  Context& cx_;
  const BucketLayout& layout_;
  std::unordered_map<const Slot*, size_t> index_;  // a slot's item
  std::vector<bool> ready_;                        // by item
  std::vector<Flight> flights_;                    // one a bucket
  size_t next_ = 0;                                // the first bucket not started
  bool open_ = false;
};

}  // namespace og

// AdamW over all parameters of a store. Moments live beside the parameters, in the same type and cut the same way; with
// zero1 they are cut further, over the ranks whose gradients are summed (ZeRO-1, arXiv 1910.02054): each updates its
// piece of every bucket, and the pieces of the weights are gathered bucket by bucket while the next ones are updated.
#pragma once

#include <deque>

#include "framework/kernels/optim.h"
#include "framework/nn/parameter.h"
#include "parallel/step/buckets.h"

namespace og {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
};

// The layout of all parameters, in the order of the store.
BucketLayout lay_out(const ParameterStore& store, OptimizerSharding sharding, int64_t bucket_bytes = kBucketBytes);

class AdamW {
 public:
  AdamW(ParameterStore& store, AdamWOptions options, OptimizerSharding sharding = OptimizerSharding::none);

  // Whose pieces those are; for the reducer of the gradients.
  const BucketLayout& layout() const { return layout_; }

  // One update from the gradients in the slots, which must be complete (none: whole; zero1: this rank's pieces).
  // gradient_scale [1] f64: 0 or not finite leaves weights and moments as they are; whoever learns that it was says
  // undo_step(). zero1: collective over the gradient groups, site "weights"; all weights are there when it returns.
  void step(double learning_rate, const Tensor& gradient_scale);
  void undo_step() { steps_ -= 1; }  // the last one changed nothing
  void clear_gradients();

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  // The elements of one parameter that this rank updates; perhaps none.
  struct Moments {
    Parameter* parameter = nullptr;
    ElementRange range;    // counts elements of the parameter as this rank holds it, flat
    Tensor first, second;  // flat, range.count
  };
  std::deque<Moments>& moments() { return moments_; }

 private:
  void update(Moments& m, const Tensor& gradient_scale, AdamWStep step);
  Pending start_gather(const Bucket& bucket, const Tensor& flat);

  Context& cx_;
  AdamWOptions options_;
  BucketLayout layout_;
  int64_t steps_ = 0;
  std::deque<Moments> moments_;  // one for each parameter, in the order of the store
};

}  // namespace og

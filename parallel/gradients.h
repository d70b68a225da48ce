// GradientReducer: completes the gradients of parameters by summing each over its group of ranks, while backward still
// runs. Parameters are laid in buckets, last created first (the order in which backward meets them); a bucket's
// all_reduce starts as soon as its last gradient is there and all buckets before it have started, so that every rank
// starts them in the same order. One per rank; keeps the parameters' slots alive and refers to context and mesh.
//
// Use: add() all parameters in the same order on every rank; then, for the last micro step of each optimizer step,
// begin(), backward with Tape::on_leaf_ready calling ready(), finish(). Site "gradients"; the norm's is "grad_norm".
#pragma once

#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "framework/autograd/value.h"
#include "parallel/mesh.h"

namespace og {

class GradientReducer {
 public:
  static constexpr int64_t kBucketBytes = int64_t{4} << 20;

  GradientReducer(Context& cx, Mesh& mesh, int64_t bucket_bytes = kBucketBytes);
  ~GradientReducer();

  // parameter: a leaf. group: the ranks over whose sum its gradient is complete. On the tensor axis the parameter's
  // placement says whether other ranks outside the group hold the same elements (invariant) or not.
  void add(const Value& parameter, Comm& group);

  void begin();
  void ready(Slot& slot);  // this rank's gradient is complete; slots that were never added are ignored
  void finish();           // what was not ready counts as ready now; all sums are in the slots when it returns

  // The norm of the gradient of the whole model, every element counted once, from the complete gradients: the same on
  // all ranks and, but for rounding in f64, at all layouts. Collective over the world.
  double norm();

 private:
  struct Entry {
    std::shared_ptr<Slot> slot;
    Comm* group;
    DType dtype;
    int64_t count;
    double copies;  // ranks of this pipeline stage that hold the same elements
    size_t bucket = 0;
    bool ready = false;
  };
  struct Bucket {
    Comm* group = nullptr;
    DType dtype = DType::f32;
    std::vector<size_t> entries;
    int64_t count = 0;  // elements
    size_t missing = 0;
    Tensor flat;
    Pending pending;
  };
  void lay_out();
  void start_complete_buckets();

  Context& cx_;
  Mesh& mesh_;
  int64_t bucket_bytes_;
  std::deque<Entry> entries_;  // in order of creation
  std::unordered_map<const Slot*, size_t> index_;
  std::vector<Bucket> buckets_;
  size_t next_ = 0;  // the first bucket not started
  bool open_ = false;
};

}  // namespace og

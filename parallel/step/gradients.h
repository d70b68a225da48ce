// GradientReducer: completes the gradients of parameters by summing each over its group of ranks, while backward still
// runs. Parameters are laid in buckets (parallel/step/buckets.h), last created first (the order in which backward meets
// them); a bucket's collective starts as soon as its last gradient is there and all buckets before it have started, so
// that every rank starts them in the same order. One per rank; keeps the parameters' slots alive and refers to context
// and mesh.
//
// Whole: all_reduce, and every rank has the sums. Pieces (ZeRO-1): reduce_scatter; a slot then holds sums only in the
// elements of this rank's pieces, and what it holds elsewhere is this rank's own part, of use to nobody.
//
// Use: add() all parameters in the same order on every rank; then, for the last micro step of each optimizer step,
// begin(), backward with Tape::on_leaf_ready calling ready(), finish(). Site "gradients"; the norm's is "grad_norm".
#pragma once

#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "framework/autograd/value.h"
#include "parallel/mesh/mesh.h"
#include "parallel/step/buckets.h"

namespace og {

class GradientReducer {
 public:
  enum class Sums : uint8_t { whole, pieces };

  GradientReducer(Context& cx, Mesh& mesh, Sums sums = Sums::whole, int64_t bucket_bytes = kBucketBytes);
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
    double copies = 1;   // ranks of this pipeline stage that count the same elements in the norm
    ElementRange owned;  // the elements that this rank counts
    size_t bucket = kNone;
    bool ready = false;
  };
  struct Flight {
    size_t missing = 0;
    Tensor flat, piece;
    Pending pending;
  };
  static constexpr size_t kNone = ~size_t{0};
  void lay_out();
  void start_complete_buckets();
  void land(const Bucket& b, Flight& flight);

  Context& cx_;
  Mesh& mesh_;
  Sums sums_;
  int64_t bucket_bytes_;
  std::deque<Entry> entries_;  // in order of creation
  std::vector<BucketItem> items_;
  std::unordered_map<const Slot*, size_t> index_;
  std::vector<Bucket> buckets_;
  std::vector<Flight> flights_;  // one a bucket
  size_t next_ = 0;              // the first bucket not started
  bool open_ = false;
};

}  // namespace og

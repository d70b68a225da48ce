// Value: a tensor on the tape. It holds the tensor, its placement on the mesh, and, if a gradient is wanted, a Slot
// that the gradient is put into. Copying a Value shares both. The tensor of a taped Value is never written again.
#pragma once

#include <memory>
#include <string>

#include "framework/autograd/placement.h"
#include "framework/core/context.h"

namespace og {

// Where a gradient is put. The first contribution writes, later ones add: kernels are told which, so no temporary and
// no zero fill is needed.
class Slot {
 public:
  Slot(const Shape& shape, DType dtype, bool leaf) : shape_(shape), dtype_(dtype), leaf_(leaf) {}

  struct Target {
    Tensor tensor;
    Put put;
  };
  // Opens the slot for one contribution of exactly the value's shape.
  Target open(Context& cx);
  // Takes over a gradient that its own slot gives up now, as memory instead of a copy. False, and nothing done: there
  // is a gradient already, or this is a leaf, which keeps its memory.
  bool take(const Tensor& gradient);
  // A leaf's gradient will live in this memory, of as many elements: beside those that are summed over ranks with it.
  void lay(const Tensor& memory);
  // The sum so far. Only the walker and optimizers look at it.
  const Tensor& gradient() const { return gradient_; }
  bool has_gradient() const { return written_; }
  // The gradient, or zeros if nothing contributed.
  Tensor gradient_or_zero(Context& cx);
  // Leaves keep their memory between steps and are only marked empty; others let it go.
  void clear();

  bool is_leaf() const { return leaf_; }
  const Shape& shape() const { return shape_; }
  int pending = 0;    // uses recorded on tapes and not yet walked; a leaf whose count falls to 0 is ready to be reduced
  std::string label;  // for messages: a parameter's name

 private:
  Shape shape_;
  DType dtype_;
  bool leaf_;
  bool written_ = false;
  Tensor gradient_;
};

class Value {
 public:
  Value() = default;  // absent optional input: defined() is false
  // A constant: no gradient.
  explicit Value(Tensor tensor, Placement place = {}) : tensor_(std::move(tensor)), place_(place) {}
  // A leaf that wants a gradient (a parameter, or an input under test).
  static Value leaf(Tensor tensor, Placement place = {}, std::string label = {});

  bool defined() const { return tensor_.defined(); }
  const Tensor& tensor() const { return tensor_; }
  const Shape& shape() const { return tensor_.shape(); }
  int64_t size(int dim) const { return tensor_.size(dim); }
  int rank() const { return tensor_.rank(); }
  DType dtype() const { return tensor_.dtype(); }
  const Placement& place() const { return place_; }

  bool wants_gradient() const { return slot_ != nullptr; }
  const std::shared_ptr<Slot>& slot() const { return slot_; }

 private:
  friend class Tape;
  Tensor tensor_;
  Placement place_;
  std::shared_ptr<Slot> slot_;
};

}  // namespace og

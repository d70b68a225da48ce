// Tape: the ops of one forward pass in the order they ran. backward() walks it once, last to first, in a loop, freeing
// each Function as it goes: deterministic, no recursion, no graph search. One per micro step and rank; not thread safe.
// Rules that keep it small: no in-place ops on taped values, no aliasing of gradients, no implicit promotion of types,
// no broadcasting but by named ops, no second derivatives.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "framework/autograd/function.h"

namespace og {

// Tensors that a recomputed region must not compute again: the entry states of scans and routing decisions. The first
// pass keeps them in order, the second takes them in the same order.
class Pins {
 public:
  bool replaying() const { return replaying_; }
  void keep(Tensor t) { kept_.push_back(std::move(t)); }
  Tensor take();
  void rewind() {
    replaying_ = true;
    next_ = 0;
  }

 private:
  std::vector<Tensor> kept_;
  size_t next_ = 0;
  bool replaying_ = false;
};

class Tape {
 public:
  enum class Mode { record, no_gradient };

  explicit Tape(Context& cx, Mode mode = Mode::record) : cx_(cx), mode_(mode) {}

  Context& context() { return cx_; }
  const Stream& stream() const { return cx_.stream; }
  bool recording() const { return mode_ == Mode::record; }

  // An uninitialised output of an op with these inputs. It wants a gradient if the tape records and any input wants
  // one.
  Value output(const Shape& shape, DType dtype, const Placement& place, std::initializer_list<Value> inputs);
  Value output(const Shape& shape, DType dtype, const Placement& place, std::span<const Value> inputs);
  // The same for memory that exists already (a reshape of an input).
  Value output_of(Tensor tensor, const Placement& place, std::initializer_list<Value> inputs);

  // Records `function` if any output wants a gradient. Call it after the forward kernel has run.
  void record(std::unique_ptr<Function> function, std::initializer_list<Value> inputs,
              std::initializer_list<Value> outputs);
  void record(std::unique_ptr<Function> function, std::span<const Value> inputs, std::span<const Value> outputs);

  // Walks back from `root`. seed: the gradient of root (same shape), or absent for ones.
  void backward(const Value& root, Tensor seed = {});
  // Walks back from several values whose gradients have been put into their slots already.
  void backward_from_slots();

  // Called whenever the last recorded use of a leaf has been walked: its gradient on this rank is complete.
  std::function<void(Slot&)> on_leaf_ready;

  Pins* pins = nullptr;     // non-null inside a recomputed region
  bool runs_again = false;  // while a region's forward is run again: its collectives are counted as such
  size_t size() const { return functions_.size(); }

 private:
  void walk();
  Context& cx_;
  Mode mode_;
  std::vector<std::unique_ptr<Function>> functions_;
};

}  // namespace og

// Function: one recorded op. A subclass names what it keeps for backward as fields; backward() reads the gradients of
// its outputs and opens the slots of those inputs that want one.
#pragma once

#include <memory>
#include <vector>

#include "framework/autograd/value.h"

namespace og {

class Function {
 public:
  virtual ~Function() = default;
  virtual const char* name() const = 0;
  virtual void backward(Context& cx) = 0;

 protected:
  // Slot of input i, null if that input wants no gradient.
  Slot* input(size_t i) const { return inputs_[i].get(); }
  // Whether output i was recorded and wants a gradient.
  bool has_output(size_t i) const { return outputs_[i] != nullptr; }
  // Gradient of output i; zeros if nothing used that output.
  Tensor gradient(Context& cx, size_t i = 0) const { return outputs_[i]->gradient_or_zero(cx); }

 private:
  friend class Tape;
  std::vector<std::shared_ptr<Slot>> inputs_;
  std::vector<std::shared_ptr<Slot>> outputs_;
};

}  // namespace og

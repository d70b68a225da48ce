#include "framework/autograd/tape.h"

#include <algorithm>

namespace og {

Tensor Pins::take() {
  OG_CHECK(next_ < kept_.size(), "recompute: the second pass pins more tensors than the first ({})", kept_.size());
  return kept_[next_++];
}

Value Tape::output(const Shape& shape, DType dtype, const Placement& place, std::span<const Value> inputs) {
  Value v(cx_.empty(shape, dtype), place);
  if (recording() && std::any_of(inputs.begin(), inputs.end(), [](const Value& i) { return i.wants_gradient(); }))
    v.slot_ = std::make_shared<Slot>(shape, dtype, false);
  return v;
}

Value Tape::output(const Shape& shape, DType dtype, const Placement& place, std::initializer_list<Value> inputs) {
  return output(shape, dtype, place, std::span<const Value>(inputs.begin(), inputs.size()));
}

Value Tape::output_of(Tensor tensor, const Placement& place, std::initializer_list<Value> inputs) {
  Value v(std::move(tensor), place);
  if (recording() && std::any_of(inputs.begin(), inputs.end(), [](const Value& i) { return i.wants_gradient(); }))
    v.slot_ = std::make_shared<Slot>(v.shape(), v.dtype(), false);
  return v;
}

void Tape::record(std::unique_ptr<Function> function, std::span<const Value> inputs, std::span<const Value> outputs) {
  if (!recording() || std::none_of(outputs.begin(), outputs.end(), [](const Value& o) { return o.wants_gradient(); }))
    return;
  for (const Value& i : inputs) {
    if (i.slot_) i.slot_->pending += 1;
    function->inputs_.push_back(i.slot_);
  }
  for (const Value& o : outputs) function->outputs_.push_back(o.slot_);
  functions_.push_back(std::move(function));
}

void Tape::record(std::unique_ptr<Function> function, std::initializer_list<Value> inputs,
                  std::initializer_list<Value> outputs) {
  record(std::move(function), std::span<const Value>(inputs.begin(), inputs.size()),
         std::span<const Value>(outputs.begin(), outputs.size()));
}

void Tape::backward(const Value& root, Tensor seed) {
  OG_CHECK(root.wants_gradient(), "backward from a value that depends on no parameter");
  auto target = root.slot()->open(cx_);
  OG_CHECK(target.put == Put::write, "backward from a value that has a gradient already");
  if (seed.defined()) {
    target.tensor.copy_from(seed);
  } else {
    target.tensor.fill(1);
  }
  walk();
}

void Tape::backward_from_slots() { walk(); }

void Tape::walk() {
  while (!functions_.empty()) {
    std::unique_ptr<Function> f = std::move(functions_.back());
    functions_.pop_back();
    const bool used =
        std::any_of(f->outputs_.begin(), f->outputs_.end(), [](const auto& o) { return o && o->has_gradient(); });
    if (used) f->backward(cx_);
    for (const auto& o : f->outputs_)
      if (o) o->clear();
    for (const auto& i : f->inputs_) {
      if (!i) continue;
      i->pending -= 1;
      if (i->pending == 0 && i->is_leaf()) {
        i->gradient_or_zero(cx_);
        if (on_leaf_ready) on_leaf_ready(*i);
      }
    }
  }
}

}  // namespace og

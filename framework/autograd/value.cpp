#include "framework/autograd/value.h"

namespace og {

Slot::Target Slot::open(Context& cx) {
  if (written_) return {gradient_, Put::add};
  if (!gradient_.defined()) gradient_ = cx.empty(shape_, dtype_);
  written_ = true;
  return {gradient_, Put::write};
}

bool Slot::take(const Tensor& gradient) {
  if (written_ || leaf_) return false;
  gradient_ = gradient.reshape(shape_);
  written_ = true;
  return true;
}

void Slot::lay(const Tensor& memory) {
  OG_CHECK(leaf_ && !written_ && memory.dtype() == dtype_, "{}: its gradient has a place already, or the type is wrong",
           label);
  gradient_ = memory.reshape(shape_);
}

Tensor Slot::gradient_or_zero(Context& cx) {
  if (!written_) open(cx).tensor.fill(0);
  return gradient_;
}

void Slot::clear() {
  written_ = false;
  if (!leaf_) gradient_ = Tensor();
}

Value Value::leaf(Tensor tensor, Placement place, std::string label) {
  Value v(std::move(tensor), place);
  v.slot_ = std::make_shared<Slot>(v.shape(), v.dtype(), true);
  v.slot_->label = std::move(label);
  return v;
}

}  // namespace og

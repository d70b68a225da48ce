#include "framework/nn/step_sums.h"

#include "framework/ops/scalars.h"

namespace og {

StepSums StepSums::only(std::initializer_list<StepSum> places) const {
  StepSums some = *this;
  some.logged_ = 0;
  for (const StepSum p : places) some.logged_ |= bit(p) & logged_;
  return some;
}

void StepSums::add(const Context& cx, StepSum place, const Tensor& x, double factor) const {
  if (logged_ & bit(place)) add_scalar(cx.stream, at(place), x, factor);
}

void StepSums::add(const Context& cx, StepSum place, double x) const {
  if (logged_ & bit(place)) add_number(cx.stream, at(place), x);
}

}  // namespace og

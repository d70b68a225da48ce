#include "framework/optim/clip.h"

#include "framework/kernels/optim.h"

namespace og {

void clip(const Stream& stream, DType dtype, const Clip& c) {
  for (const Tensor* t : {&c.norm, &c.scale, &c.square_norm, &c.loss})
    OG_CHECK(t->count() == 1, "clip: {} where one element is expected", t->shape().str());
  visit_real(dtype, [&](auto zero) {
    optim_kernels<decltype(zero)>(stream).clip(stream, c.norm.flat<double>(), c.scale.flat<double>(),
                                               c.square_norm.flat<const double>(), c.loss.flat<const double>(),
                                               c.limit);
  });
}

}  // namespace og

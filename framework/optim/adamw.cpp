#include "framework/optim/adamw.h"

#include <cmath>

#include "framework/kernels/optim.h"

namespace og {

AdamW::AdamW(ParameterStore& store, AdamWOptions options) : cx_(store.context()), options_(options) {
  for (Parameter& p : store.all())
    moments_.push_back({&p, cx_.zeros(p.local_shape, store.dtype()), cx_.zeros(p.local_shape, store.dtype())});
}

void AdamW::step(double learning_rate, double gradient_scale) {
  const Profile::Scope scope(&cx_.profile, Part::optimizer);
  steps_ += 1;
  AdamWStep s{.rate = learning_rate,
              .beta1 = options_.beta1,
              .beta2 = options_.beta2,
              .eps = options_.eps,
              .decay = 0,
              .correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_)),
              .correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps_)),
              .gradient_scale = gradient_scale};
  for (Moments& m : moments_) {
    const Value& w = m.parameter->value;
    const Tensor gradient = w.slot()->gradient_or_zero(cx_);
    s.decay = m.parameter->record.decay ? options_.weight_decay : 0;
    visit_real(w.dtype(), [&](auto zero) {
      using T = decltype(zero);
      optim_kernels<T>(cx_.stream)
          .adamw(cx_.stream, w.tensor().flat<T>(), m.first.template flat<T>(), m.second.template flat<T>(),
                 gradient.flat<const T>(), s);
    });
    w.slot()->clear();
  }
}

}  // namespace og

#include "framework/optim/adamw.h"

#include <cmath>

#include "framework/kernels/optim.h"
#include "parallel/comm/reduction.h"

namespace og {

namespace {

Tensor elements(const Tensor& whole, const ElementRange& range) {
  return whole.reshape({whole.count()}).slice(range.begin, range.begin + range.count);
}

}  // namespace

BucketLayout lay_out(const ParameterStore& store, OptimizerSharding sharding, int64_t bucket_bytes) {
  std::vector<BucketItem> items;
  for (const Parameter& p : store.all()) items.push_back({p.value, p.replication});
  return {std::move(items), sharding, bucket_bytes};
}

AdamW::AdamW(ParameterStore& store, AdamWOptions options, OptimizerSharding sharding)
    : cx_(store.context()), options_(options), layout_(lay_out(store, sharding)) {
  for (size_t i = 0; Parameter & p : store.all()) {
    const ElementRange own = layout_.own(i++);
    moments_.push_back({&p, own, cx_.zeros({own.count}, store.dtype()), cx_.zeros({own.count}, store.dtype())});
  }
}

void AdamW::update(Moments& m, const Tensor& gradient_scale, AdamWStep s) {
  if (m.range.count == 0) return;
  s.decay = m.parameter->record.decay ? options_.weight_decay : 0;
  const Value& w = m.parameter->value;
  const Tensor weight = elements(w.tensor(), m.range), gradient = elements(w.slot()->gradient_or_zero(cx_), m.range);
  visit_real(w.dtype(), [&](auto zero) {
    using T = decltype(zero);
    optim_kernels<T>(cx_.stream)
        .adamw(cx_.stream, weight.flat<T>(), m.first.template flat<T>(), m.second.template flat<T>(),
               gradient.flat<const T>(), gradient_scale.flat<const double>(), s);
  });
}

Pending AdamW::start_gather(const Bucket& b, const Tensor& flat) {
  const Tensor piece = cx_.empty({b.own.count}, b.dtype);
  const int64_t size = size_of(b.dtype);
  for (size_t k = 0; k < b.items.size(); ++k) {
    const Moments& m = moments_[b.items[k]];
    const int64_t at = b.begins[k] + m.range.begin - b.own.begin;
    if (m.range.count > 0)
      copy_bytes(piece, at * size, m.parameter->value.tensor(), m.range.begin * size, m.range.count * size);
  }
  return b.group->all_gather(flat, piece, b.pieces, Sites::weights);
}

void AdamW::step(double learning_rate, const Tensor& gradient_scale) {
  OG_CHECK(gradient_scale.count() == 1, "adamw: scales {}", gradient_scale.shape().str());
  steps_ += 1;
  const AdamWStep s{.rate = learning_rate,
                    .beta1 = options_.beta1,
                    .beta2 = options_.beta2,
                    .eps = options_.eps,
                    .decay = 0,
                    .correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_)),
                    .correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps_))};
  struct Flight {
    Tensor flat;
    Pending pending;
  };
  std::vector<Flight> flights;
  const bool cut = layout_.sharding() == OptimizerSharding::zero1;
  if (cut) {
    for (const Bucket& b : layout_.buckets()) {
      for (size_t i : b.items) update(moments_[i], gradient_scale, s);
      flights.push_back({cx_.empty({b.count}, b.dtype), {}});
      flights.back().pending = start_gather(b, flights.back().flat);
    }
  }
  for (size_t i = 0; i < moments_.size(); ++i)
    if (!cut || layout_.bucket_of(i) == BucketLayout::kNone) update(moments_[i], gradient_scale, s);
  for (size_t i = 0; i < flights.size(); ++i) {
    const Bucket& b = layout_.buckets()[i];
    flights[i].pending.wait();
    const int64_t size = size_of(b.dtype);
    for (size_t k = 0; k < b.items.size(); ++k) {
      const Tensor& weight = moments_[b.items[k]].parameter->value.tensor();
      copy_bytes(weight, 0, flights[i].flat, b.begins[k] * size, weight.bytes());
    }
    flights[i].flat = {};
  }
}

void AdamW::clear_gradients() {
  for (Moments& m : moments_) m.parameter->value.slot()->clear();
}

}  // namespace og

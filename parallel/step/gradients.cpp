#include "parallel/step/gradients.h"

#include "framework/kernels/optim.h"
#include "framework/ops/ranges.h"

namespace og {

GradientReducer::GradientReducer(Context& cx, const BucketLayout& layout)
    : cx_(cx), layout_(layout), ready_(layout.items().size()), flights_(layout.buckets().size()) {
  for (const BucketItem& item : layout.items()) {
    OG_CHECK(item.parameter.wants_gradient() && item.parameter.slot()->is_leaf(),
             "gradients: a value that is no parameter");
    OG_CHECK(index_.emplace(item.parameter.slot().get(), index_.size()).second,
             "gradients: parameter {} is laid out twice", item.parameter.slot()->label);
  }
  for (size_t i = 0; i < flights_.size(); ++i) {
    const Bucket& b = layout.buckets()[i];
    flights_[i].flat = cx.empty({b.count}, b.dtype);
    for (size_t k = 0; k < b.items.size(); ++k)
      slot(b.items[k]).lay(flights_[i].flat.slice(b.begins[k], b.begins[k] + layout.items()[b.items[k]].count()));
  }
}

void GradientReducer::begin() {
  OG_CHECK(!open_, "gradients: begin twice");
  for (size_t b = 0; b < flights_.size(); ++b) flights_[b].missing = layout_.buckets()[b].items.size();
  ready_.assign(ready_.size(), false);
  next_ = 0;
  open_ = true;
}

void GradientReducer::ready(Slot& slot) {
  const auto found = index_.find(&slot);
  if (!open_ || found == index_.end()) return;
  const size_t item = found->second, bucket = layout_.bucket_of(item);
  OG_CHECK(!ready_[item], "gradients: {} is complete twice in one step", slot.label);
  ready_[item] = true;
  if (bucket == BucketLayout::kNone) return;
  flights_[bucket].missing -= 1;
  start_complete_buckets();
}

void GradientReducer::start_complete_buckets() {
  for (; next_ < flights_.size() && flights_[next_].missing == 0; ++next_) {
    const Bucket& b = layout_.buckets()[next_];
    Flight& f = flights_[next_];
    for (const size_t item : b.items) slot(item).gradient_or_zero(cx_);  // what nothing used is zero
    if (whole()) {
      f.pending = b.group->all_reduce(f.flat, Reduce::sum, Sites::gradients);
    } else {
      f.piece = cx_.empty({b.own.count}, b.dtype);
      f.pending = b.group->reduce_scatter(f.piece, f.flat, b.pieces, Sites::gradients);
    }
  }
}

void GradientReducer::land(const Bucket& b, Flight& f) {
  f.pending.wait();
  if (whole() || b.own.count == 0) return;
  const Profile::Scope scope(&cx_.profile, Part::communication);
  move_range(cx_.stream, 0, f.flat, b.own.begin, Put::write, f.piece, 0, b.own.count);
  f.piece = {};  // the memory serves activations, and the weights on their way round
}

void GradientReducer::finish() {
  OG_CHECK(open_, "gradients: finish without begin");
  for (size_t i = 0; i < ready_.size(); ++i)
    if (!ready_[i]) ready(slot(i));
  open_ = false;
  for (size_t b = 0; b < flights_.size(); ++b) land(layout_.buckets()[b], flights_[b]);
}

void GradientReducer::add_square_norm(const Tensor& sum) {
  OG_CHECK(sum.count() == 1, "gradients: a squared norm in a tensor {}", sum.shape().str());
  for (size_t i = 0; i < layout_.items().size(); ++i) {
    const ElementRange own = layout_.own(i);
    if (own.count == 0) continue;
    const Replication& r = layout_.items()[i].replication;
    const double counted = (whole() ? r.group->size() : 1) * r.groups;  // so many ranks count these elements
    const Tensor all = slot(i).gradient_or_zero(cx_);
    const Tensor gradient = all.reshape({all.count()}).slice(own.begin, own.begin + own.count);
    visit_real(gradient.dtype(), [&](auto zero) {
      using T = decltype(zero);
      optim_kernels<T>(cx_.stream).sum_squares(cx_.stream, sum.flat<double>(), gradient.flat<const T>(), counted);
    });
  }
}

}  // namespace og

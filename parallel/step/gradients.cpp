#include "parallel/step/gradients.h"

#include <cmath>

#include "framework/kernels/optim.h"
#include "parallel/comm/reduction.h"

namespace og {

GradientReducer::GradientReducer(Context& cx, Mesh& mesh, Sums sums, int64_t bucket_bytes)
    : cx_(cx), mesh_(mesh), sums_(sums), bucket_bytes_(bucket_bytes) {}

GradientReducer::~GradientReducer() = default;

void GradientReducer::add(const Value& parameter, Comm& group) {
  OG_CHECK(parameter.wants_gradient() && parameter.slot()->is_leaf(), "gradients: a value that is no parameter");
  OG_CHECK(!open_ && index_.emplace(parameter.slot().get(), entries_.size()).second,
           "gradients: parameter {} was added already, or between begin and finish", parameter.slot()->label);
  const int tensor_copies = parameter.place()[Axis::tensor] == Place::invariant ? mesh_.tensor().size() : 1;
  const int group_copies = sums_ == Sums::whole ? group.size() : 1;
  const int64_t count = parameter.shape().count();
  entries_.push_back(
      {.slot = parameter.slot(), .copies = static_cast<double>(group_copies) * tensor_copies, .owned = {0, count}});
  items_.push_back({&group, parameter.dtype(), count});
  buckets_.clear();
}

void GradientReducer::lay_out() {
  buckets_ = lay_out_buckets(items_, bucket_bytes_);
  flights_ = std::vector<Flight>(buckets_.size());
  for (size_t b = 0; b < buckets_.size(); ++b)
    for (size_t k = 0; k < buckets_[b].items.size(); ++k) {
      const size_t i = buckets_[b].items[k];
      entries_[i].bucket = b;
      if (sums_ == Sums::pieces) entries_[i].owned = buckets_[b].own_part(k, items_[i].count);
    }
}

void GradientReducer::begin() {
  OG_CHECK(!open_, "gradients: begin twice");
  if (buckets_.empty()) lay_out();
  for (size_t b = 0; b < buckets_.size(); ++b) flights_[b].missing = buckets_[b].items.size();
  for (Entry& e : entries_) e.ready = false;
  next_ = 0;
  open_ = true;
}

void GradientReducer::ready(Slot& slot) {
  const auto found = index_.find(&slot);
  if (!open_ || found == index_.end()) return;
  Entry& e = entries_[found->second];
  OG_CHECK(!e.ready, "gradients: {} is complete twice in one step", slot.label);
  e.ready = true;
  if (e.bucket == kNone) return;
  flights_[e.bucket].missing -= 1;
  start_complete_buckets();
}

void GradientReducer::start_complete_buckets() {
  for (; next_ < buckets_.size() && flights_[next_].missing == 0; ++next_) {
    const Bucket& b = buckets_[next_];
    Flight& f = flights_[next_];
    f.flat = cx_.empty({b.count}, b.dtype);
    {
      const Profile::Scope scope(&cx_.profile, Part::communication);
      const int64_t size = size_of(b.dtype);
      for (size_t k = 0; k < b.items.size(); ++k)
        copy_bytes(f.flat, b.begins[k] * size, entries_[b.items[k]].slot->gradient_or_zero(cx_), 0,
                   items_[b.items[k]].count * size);
    }
    if (sums_ == Sums::whole) {
      f.pending = b.group->all_reduce(f.flat, Reduce::sum, Sites::gradients);
    } else {
      f.piece = cx_.empty({b.own.count}, b.dtype);
      f.pending = b.group->reduce_scatter(f.piece, f.flat, b.pieces, Sites::gradients);
    }
  }
}

void GradientReducer::land(const Bucket& b, Flight& f) {
  f.pending.wait();
  const Profile::Scope scope(&cx_.profile, Part::communication);
  const int64_t size = size_of(b.dtype);
  const bool whole = sums_ == Sums::whole;
  for (size_t k = 0; k < b.items.size(); ++k) {
    const Entry& e = entries_[b.items[k]];
    const int64_t from = b.begins[k] + e.owned.begin - (whole ? 0 : b.own.begin);
    if (e.owned.count > 0)
      copy_bytes(e.slot->gradient(), e.owned.begin * size, whole ? f.flat : f.piece, from * size, e.owned.count * size);
  }
  f = {};  // the memory serves activations, and the weights on their way round
}

void GradientReducer::finish() {
  OG_CHECK(open_, "gradients: finish without begin");
  for (Entry& e : entries_)
    if (!e.ready) ready(*e.slot);
  open_ = false;
  for (size_t b = 0; b < buckets_.size(); ++b) land(buckets_[b], flights_[b]);
}

double GradientReducer::norm() {
  double sum = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& e = entries_[i];
    if (e.owned.count == 0) continue;
    const Tensor gradient =
        e.slot->gradient_or_zero(cx_).reshape({items_[i].count}).slice(e.owned.begin, e.owned.begin + e.owned.count);
    sum += visit_real(gradient.dtype(),
                      [&](auto zero) {
                        using T = decltype(zero);
                        return optim_kernels<T>(cx_.stream).sum_squares(cx_.stream, gradient.flat<const T>());
                      }) /
           e.copies;
  }
  return std::sqrt(mesh_.world().sum(sum, Sites::grad_norm));
}

}  // namespace og

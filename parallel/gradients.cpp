#include "parallel/gradients.h"

#include <cmath>

#include "framework/kernels/optim.h"
#include "parallel/reduction.h"

namespace og {

GradientReducer::GradientReducer(Context& cx, Mesh& mesh, int64_t bucket_bytes)
    : cx_(cx), mesh_(mesh), bucket_bytes_(bucket_bytes) {}

GradientReducer::~GradientReducer() = default;

void GradientReducer::add(const Value& parameter, Comm& group) {
  OG_CHECK(parameter.wants_gradient() && parameter.slot()->is_leaf(), "gradients: a value that is no parameter");
  OG_CHECK(!open_ && index_.emplace(parameter.slot().get(), entries_.size()).second,
           "gradients: parameter {} was added already, or between begin and finish", parameter.slot()->label);
  const int tensor_copies = parameter.place()[Axis::tensor] == Place::invariant ? mesh_.tensor().size() : 1;
  entries_.push_back({.slot = parameter.slot(),
                      .group = &group,
                      .dtype = parameter.dtype(),
                      .count = parameter.shape().count(),
                      .copies = static_cast<double>(group.size()) * tensor_copies});
  buckets_.clear();
}

// Last created first; a bucket holds parameters of one group and one type. A parameter whose group is this rank alone
// is in no bucket: its gradient is complete as it is.
void GradientReducer::lay_out() {
  std::unordered_map<Comm*, size_t> filling;
  for (size_t i = entries_.size(); i-- > 0;) {
    Entry& e = entries_[i];
    if (e.group->size() == 1) continue;
    auto [found, first] = filling.try_emplace(e.group, buckets_.size());
    if (!first) {
      const Bucket& b = buckets_[found->second];
      if (b.dtype != e.dtype || (b.count + e.count) * size_of(e.dtype) > bucket_bytes_) {
        found->second = buckets_.size();
        first = true;
      }
    }
    if (first) {
      buckets_.emplace_back();
      buckets_.back().group = e.group;
      buckets_.back().dtype = e.dtype;
    }
    e.bucket = found->second;
    buckets_[e.bucket].entries.push_back(i);
    buckets_[e.bucket].count += e.count;
  }
  for (Bucket& b : buckets_) b.flat = cx_.empty({b.count}, b.dtype);
}

void GradientReducer::begin() {
  OG_CHECK(!open_, "gradients: begin twice");
  if (buckets_.empty()) lay_out();
  for (Bucket& b : buckets_) b.missing = b.entries.size();
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
  if (e.group->size() == 1) return;
  buckets_[e.bucket].missing -= 1;
  start_complete_buckets();
}

void GradientReducer::start_complete_buckets() {
  for (; next_ < buckets_.size() && buckets_[next_].missing == 0; ++next_) {
    Bucket& b = buckets_[next_];
    {
      const Profile::Scope scope(&cx_.profile, Part::communication);
      int64_t at = 0;
      for (size_t i : b.entries) {
        const int64_t bytes = entries_[i].count * size_of(b.dtype);
        copy_bytes(b.flat, at, entries_[i].slot->gradient_or_zero(cx_), 0, bytes);
        at += bytes;
      }
    }
    b.pending = b.group->all_reduce(b.flat, Reduce::sum, Site{"gradients"});
  }
}

void GradientReducer::finish() {
  OG_CHECK(open_, "gradients: finish without begin");
  for (Entry& e : entries_)
    if (!e.ready) ready(*e.slot);
  open_ = false;
  for (Bucket& b : buckets_) {
    b.pending.wait();
    const Profile::Scope scope(&cx_.profile, Part::communication);
    int64_t at = 0;
    for (size_t i : b.entries) {
      const int64_t bytes = entries_[i].count * size_of(b.dtype);
      copy_bytes(entries_[i].slot->gradient(), 0, b.flat, at, bytes);
      at += bytes;
    }
  }
}

double GradientReducer::norm() {
  double sum = 0;
  for (const Entry& e : entries_) {
    const Tensor gradient = e.slot->gradient_or_zero(cx_);
    sum += visit_real(e.dtype,
                      [&](auto zero) {
                        using T = decltype(zero);
                        return optim_kernels<T>(cx_.stream).sum_squares(cx_.stream, gradient.flat<const T>());
                      }) /
           e.copies;
  }
  return std::sqrt(mesh_.world().sum(sum, Site{"grad_norm"}));
}

}  // namespace og

#include "framework/ops/route.h"

#include "framework/ops/ranges.h"

namespace og {

Tensor count_choices(Context& cx, const Tensor& experts, TokenRows rows, int64_t num_rows, int64_t num_experts) {
  const Profile::Scope scope(&cx.profile, Part::routing);
  const Tensor counts = cx.empty({num_rows, num_experts}, DType::i32);
  route_kernels(cx.stream).count_choices(cx.stream, counts.view<int32_t, 2>(), experts.view<const int32_t, 2>(), rows);
  return counts;
}

Tensor sum_counts(Context& cx, const Tensor& counts) {
  const Profile::Scope scope(&cx.profile, Part::routing);
  const Tensor sums = cx.empty({counts.size(1), counts.size(3)}, DType::i32);
  route_kernels(cx.stream).sum_counts(cx.stream, sums.view<int32_t, 2>(), counts.view<const int32_t, 4>());
  return sums;
}

void add_counts(const Stream& stream, const Tensor& to, const Tensor& more) {
  const int64_t rows = more.size(0), num_experts = more.size(1), parts = rows > 0 ? to.size(0) / rows : 0;
  OG_CHECK(to.size(0) == rows * parts && to.size(1) == num_experts, "add_counts: {} grows by {}", to.shape().str(),
           more.shape().str());
  for (int64_t s = 0; s < parts; ++s)
    move_range(stream, 1, to.reshape({rows, parts, num_experts}), s, Put::add, more.reshape({rows, 1, num_experts}), 0,
               1);
}

void add_loads(const Stream& stream, const Tensor& loads, const Tensor& counts) {
  OG_CHECK(loads.count() == counts.size(1), "add_loads: {} grows by {}", loads.shape().str(), counts.shape().str());
  route_kernels(stream).add_loads(stream, loads.view<int64_t, 1>(), counts.view<const int32_t, 2>());
}

Tensor max_over_mean(Context& cx, const Tensor& counts) {
  const Tensor figure = cx.empty({1}, DType::f64);
  route_kernels(cx.stream).max_over_mean(cx.stream, figure.view<double, 1>(), counts.view<const int32_t, 2>());
  return figure;
}

Tensor drop_over_capacity(Context& cx, const Tensor& experts, TokenRows rows, const Tensor& taken, int64_t capacity) {
  const Profile::Scope scope(&cx.profile, Part::routing);
  const Tensor dropped = cx.empty({1}, DType::i64);
  route_kernels(cx.stream).drop(cx.stream, experts.view<int32_t, 2>(), dropped.view<int64_t, 1>(),
                                taken.view<int32_t, 2>(), rows, capacity);
  return dropped;
}

}  // namespace og

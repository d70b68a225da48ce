#include "parallel/expert_load.h"

#include <algorithm>
#include <vector>

#include "parallel/collectives.h"

namespace og {

Tensor count_choices(Context& cx, const Tensor& experts, TokenRows rows, int64_t num_rows, int64_t num_experts) {
  const Profile::Scope scope(&cx.profile, Part::routing);
  const Tensor counts = cx.zeros({num_rows, num_experts}, DType::i32);
  const auto choices = experts.view<const int32_t, 2>();
  const auto out = counts.view<int32_t, 2>();
  for (int64_t n = 0; n < choices.shape[0]; ++n)
    for (int64_t j = 0; j < choices.shape[1]; ++j) out(rows(n), expert_id(choices(n, j))) += 1;
  return counts;
}

ExpertLoad::ExpertLoad(Tape& tape, const Tensor& experts, TokenRows rows, int64_t num_rows, int64_t num_experts,
                       Mesh& mesh)
    : cx_(tape.context()), group_(mesh.sequence_and_tensor()), shape_{num_rows, num_experts} {
  const Tensor counts = count_choices(cx_, experts, rows, num_rows, num_experts);
  gathered_ = cx_.empty({num_rows * group_.size(), num_experts}, DType::i32);
  const std::vector<int64_t> extents(static_cast<size_t>(group_.size()), num_rows);
  pending_ = group_.all_gather(gathered_, counts, extents, forward_site(tape, {"moe.balance"}));
}

Tensor ExpertLoad::sum_of_ranks(int64_t num_ranks) {
  if (!arrived_) pending_.wait();
  arrived_ = true;
  const Tensor sum = cx_.zeros(shape_, DType::i32);
  for (int64_t r = 0; r < num_ranks; ++r) {
    const int32_t* part = gathered_.data<const int32_t>() + r * shape_.count();
    std::transform(part, part + shape_.count(), sum.data<const int32_t>(), sum.data<int32_t>(),
                   [](int32_t a, int32_t b) { return a + b; });
  }
  return sum;
}

Tensor ExpertLoad::total_BE() { return sum_of_ranks(group_.size()); }
Tensor ExpertLoad::before_BE() { return sum_of_ranks(group_.rank()); }

int64_t drop_over_capacity(const Tensor& experts, TokenRows rows, const Tensor& before, int64_t capacity) {
  std::vector<int32_t> taken(before.data<const int32_t>(), before.data<const int32_t>() + before.count());
  const auto choices = experts.view<int32_t, 2>();
  int64_t dropped = 0;
  for (int64_t n = 0; n < choices.shape[0]; ++n)
    for (int64_t j = 0; j < choices.shape[1]; ++j) {
      int32_t& choice = choices(n, j);
      if (taken[static_cast<size_t>(rows(n) * before.size(1) + choice)]++ < capacity) continue;
      choice = ~choice;
      dropped += 1;
    }
  return dropped;
}

}  // namespace og

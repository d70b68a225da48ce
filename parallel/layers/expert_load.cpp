#include "parallel/layers/expert_load.h"

#include <algorithm>
#include <vector>

#include "parallel/mesh/collectives.h"

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

ExpertLoad::ExpertLoad(Tape& tape, const Tensor& experts, TokenRows rows, const SeqContext& seq, int64_t num_experts,
                       Mesh& mesh)
    : cx_(tape.context()),
      group_(mesh.sequence_and_tensor()),
      seq_(seq),
      num_experts_(num_experts),
      tensor_ranks_(mesh.tensor().size()) {
  const Tensor counts = count_choices(cx_, experts, rows, seq.num_rows, num_experts);
  gathered_ = cx_.empty({seq.num_rows * group_.size(), num_experts}, DType::i32);
  const std::vector<int64_t> extents(static_cast<size_t>(group_.size()), seq.num_rows);
  pending_ = group_.all_gather(gathered_, counts, extents, forward_site(tape, Sites::moe_balance));
}

void ExpertLoad::arrive() {
  if (!arrived_) pending_.wait();
  arrived_ = true;
}

void ExpertLoad::add(const Tensor& sums, int64_t to, int64_t from, int64_t row) {
  const int32_t* counts = gathered_.data<const int32_t>() + (from * seq_.num_rows + row) * num_experts_;
  int32_t* sum = sums.data<int32_t>() + to * num_experts_;
  std::transform(counts, counts + num_experts_, sum, sum, [](int32_t a, int32_t b) { return a + b; });
}

Tensor ExpertLoad::total_BE() {
  arrive();
  const Tensor sum = cx_.zeros({seq_.num_rows / seq_.shards_of_rank(), num_experts_}, DType::i32);
  for (int64_t rank = 0; rank < group_.size(); ++rank)
    for (int64_t row = 0; row < seq_.num_rows; ++row) add(sum, row / seq_.shards_of_rank(), rank, row);
  return sum;
}

Tensor ExpertLoad::before_RE() {
  arrive();
  const Tensor sum = cx_.zeros({seq_.num_rows, num_experts_}, DType::i32);
  // Tokens lie in the order of shards, and inside a shard in that of the tensor ranks.
  const auto place = [&](int64_t rank, int64_t row) {
    return std::pair(seq_.shard_of(row, static_cast<int>(rank / tensor_ranks_)), rank % tensor_ranks_);
  };
  for (int64_t own = 0; own < seq_.num_rows; ++own)
    for (int64_t rank = 0; rank < group_.size(); ++rank)
      for (int64_t row = 0; row < seq_.num_rows; ++row)
        if (row / seq_.shards_of_rank() == own / seq_.shards_of_rank() && place(rank, row) < place(group_.rank(), own))
          add(sum, own, rank, row);
  return sum;
}

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

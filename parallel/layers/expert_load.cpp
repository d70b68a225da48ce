#include "parallel/layers/expert_load.h"

#include <vector>

#include "framework/ops/ranges.h"
#include "framework/ops/route.h"
#include "parallel/mesh/collectives.h"

namespace og {

ExpertLoad::ExpertLoad(Tape& tape, const Tensor& experts, TokenRows rows, const SeqContext& seq, int64_t num_experts,
                       Mesh& mesh)
    : cx_(tape.context()),
      group_(mesh.sequence_and_tensor()),
      seq_(seq),
      num_experts_(num_experts),
      tensor_ranks_(mesh.tensor().size()),
      own_(count_choices(cx_, experts, rows, seq.num_rows, num_experts)) {
  gathered_ = cx_.empty({seq.num_rows * group_.size(), num_experts}, DType::i32);
  const std::vector<int64_t> extents(static_cast<size_t>(group_.size()), seq.num_rows);
  pending_ = group_.all_gather(gathered_, own_, extents, forward_site(tape, Sites::moe_balance));
}

Tensor ExpertLoad::by_row() {
  if (!arrived_) pending_.wait();
  arrived_ = true;
  const int64_t shards = seq_.shards_of_rank();
  return gathered_.reshape({group_.size(), seq_.num_rows / shards, shards, num_experts_});
}

Tensor ExpertLoad::total_BE() { return sum_counts(cx_, by_row()); }

Tensor ExpertLoad::before_RE() {
  const Tensor counts = by_row();
  const int64_t rows = counts.size(1), shards = counts.size(2);
  const Tensor sums = cx_.zeros({rows, shards, num_experts_}, DType::i32);
  // Tokens lie in the order of shards, and inside a shard in that of the tensor ranks.
  const auto place = [&](int64_t rank, int64_t shard) {
    return std::pair(seq_.shard_of(shard, static_cast<int>(rank / tensor_ranks_)), rank % tensor_ranks_);
  };
  for (int64_t own = 0; own < shards; ++own)
    for (int64_t rank = 0; rank < group_.size(); ++rank)
      for (int64_t shard = 0; shard < shards; ++shard)
        if (place(rank, shard) < place(group_.rank(), own))
          move_range(cx_.stream, 1, sums, own, Put::add,
                     counts.slice(rank, rank + 1).reshape({rows, shards, num_experts_}), shard, 1);
  return sums.reshape({rows * shards, num_experts_});
}

}  // namespace og

#include "framework/train/evaluate.h"

#include <algorithm>

namespace og {

Evaluation evaluate_rows(HybridLM& model, int64_t num_rows, int64_t at_once, int64_t segment_length,
                         const RowSource& rows, bool by_position) {
  Mesh& mesh = model.mesh();
  const CommPhase phase(mesh.world().counters(), "evaluation");
  Evaluation total;
  double loss_sum = 0, valid = 0;
  int64_t length = 0;
  std::vector<double> at;  // losses, then counts, by position
  for (int64_t first = 0; first < num_rows; first += at_once * mesh.data().size()) {
    // Every rank runs every round; past the end a rank takes the last row again without counting it.
    const int64_t mine = first + mesh.data().rank() * at_once;
    const int64_t take = std::clamp<int64_t>(num_rows - mine, 0, at_once);
    Batch batch = rows(std::min(mine, num_rows - 1), std::max<int64_t>(1, take));
    if (take == 0) {
      batch.targets_BT.fill(-1);
      batch.valid_tokens = 0;
    }
    valid += static_cast<double>(batch.valid_tokens);
    length = batch.tokens_BT.size(1);
    if (by_position) at.resize(static_cast<size_t>(2 * length), 0.0);
    const VisitSegment add_by_position = [&](const BatchPiece& piece, const Tensor& token_losses) {
      const int64_t local = piece.seq.local_length();
      for (int64_t i = 0; i < token_losses.count(); ++i) {
        if (piece.targets_BT.at(i) < 0) continue;
        const auto t = static_cast<size_t>(piece.begin + piece.seq.begin(i / local) + i % local);
        at[t] += token_losses.at(i);
        at[static_cast<size_t>(length) + t] += 1;
      }
    };
    loss_sum +=
        forward_rows(model, batch, {.segment_length = segment_length}, by_position ? add_by_position : VisitSegment());
  }
  // The last stage of a pipeline has the losses, the others zeros.
  total.loss_sum = mesh.tokens_and_pipeline().sum(loss_sum, Sites::metrics);
  total.valid_tokens = mesh.data().sum(valid, Sites::metrics);
  if (by_position) {
    const Tensor sums = model.context().empty({2 * length}, DType::f64);
    std::copy(at.begin(), at.end(), sums.data<double>());
    mesh.tokens_and_pipeline().all_reduce(sums, Reduce::sum, Sites::metrics).wait();
    total.loss_at.assign(sums.data<double>(), sums.data<double>() + length);
    total.tokens_at.assign(sums.data<double>() + length, sums.data<double>() + 2 * length);
  }
  return total;
}

std::vector<int64_t> spread_rows(int64_t rows, int64_t most) {
  const int64_t count = most == 0 ? rows : std::min(rows, most);
  std::vector<int64_t> which;
  // The row in the middle of each of `count` equal parts.
  for (int64_t i = 0; i < count; ++i) which.push_back((2 * i + 1) * rows / (2 * count));
  return which;
}

Evaluation evaluate_data(HybridLM& model, const Loader& data, int64_t most_rows, int64_t at_once,
                         int64_t segment_length, bool by_position) {
  const std::vector<int64_t> which = spread_rows(data.rows_per_epoch(), most_rows);
  const RowSource rows = [&](int64_t first, int64_t count) {
    return data.rows(*model.context().pool,
                     std::span(which).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
  };
  return evaluate_rows(model, std::ssize(which), at_once, segment_length, rows, by_position);
}

}  // namespace og

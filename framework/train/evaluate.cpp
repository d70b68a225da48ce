#include "framework/train/evaluate.h"

#include <algorithm>
#include <cstring>

namespace og {

namespace {

// Columns [begin, begin + width) of [rows, length] i32.
Tensor cut_columns(Context& cx, const Tensor& x, int64_t begin, int64_t width) {
  const Tensor out = cx.empty({x.size(0), width}, DType::i32);
  for (int64_t r = 0; r < x.size(0) && width > 0; ++r)
    std::memcpy(out.data<int32_t>() + r * width, x.data<int32_t>() + r * x.size(1) + begin,
                static_cast<size_t>(width) * sizeof(int32_t));
  return out;
}

}  // namespace

BatchPiece cut_batch(Context& cx, Mesh& mesh, const Batch& batch) {
  const int64_t rows = batch.tokens_BT.size(0), length = batch.tokens_BT.size(1);
  BatchPiece piece;
  piece.seq = make_seq_context(*cx.pool, mesh.sequence(), rows, length, batch.starts_BT);
  piece.seq.options = mesh.sequence_options;
  piece.tokens_BT = cut_columns(cx, batch.tokens_BT, piece.seq.begin(), piece.seq.local_length());
  piece.targets_BT = cut_columns(cx, batch.targets_BT, piece.seq.begin(), piece.seq.local_length());
  return piece;
}

Evaluation evaluate_rows(Context& cx, Mesh& mesh, HybridLM& model, int64_t num_rows, int64_t at_once,
                         const RowSource& rows, bool by_position) {
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
    const BatchPiece piece = cut_batch(cx, mesh, batch);
    Tape tape(cx, Tape::Mode::no_gradient);
    StepContext context{tape, mesh, piece.seq, num_rows, false};
    SideOutputs side;
    Tensor token_losses;
    const Value loss = model.loss(context, piece.tokens_BT, piece.targets_BT, nullptr, side, false,
                                  by_position ? &token_losses : nullptr);
    loss_sum += loss.tensor().at(0);
    valid += static_cast<double>(batch.valid_tokens);
    if (!by_position) continue;
    length = batch.tokens_BT.size(1);
    at.resize(static_cast<size_t>(2 * length), 0.0);
    const int64_t local = piece.seq.local_length();
    for (int64_t i = 0; i < token_losses.count(); ++i) {
      if (piece.targets_BT.at(i) < 0) continue;
      const auto t = static_cast<size_t>(piece.seq.begin() + i % local);
      at[t] += token_losses.at(i);
      at[static_cast<size_t>(length) + t] += 1;
    }
  }
  total.loss_sum = mesh.tokens().sum(loss_sum, Site{"metrics"});
  total.valid_tokens = mesh.data().sum(valid, Site{"metrics"});
  if (by_position) {
    const Tensor sums = cx.empty({2 * length}, DType::f64);
    std::copy(at.begin(), at.end(), sums.data<double>());
    mesh.tokens().all_reduce(sums, Reduce::sum, Site{"metrics"}).wait();
    total.loss_at.assign(sums.data<double>(), sums.data<double>() + length);
    total.tokens_at.assign(sums.data<double>() + length, sums.data<double>() + 2 * length);
  }
  return total;
}

}  // namespace og

#include "framework/train/segments.h"

#include <algorithm>

#include "framework/core/host_read.h"
#include "framework/ops/ranges.h"
#include "framework/ops/scalars.h"

namespace og {

namespace {

// Columns [begin, end) of [rows, length] i32, less `minus`.
Tensor columns(Context& cx, const Tensor& x, int64_t begin, int64_t end, int32_t minus = 0) {
  if (begin == 0 && end == x.size(1)) return x;
  const Tensor out = cx.empty({x.size(0), end - begin}, DType::i32);
  for (int64_t r = 0; r < x.size(0); ++r)
    std::transform(x.data<int32_t>() + r * x.size(1) + begin, x.data<int32_t>() + r * x.size(1) + end,
                   out.data<int32_t>() + r * (end - begin), [minus](int32_t v) { return v - minus; });
  return out;
}

BatchPiece cut(Context& cx, Mesh& mesh, const Batch& batch, int64_t begin, int64_t end) {
  BatchPiece piece;
  piece.begin = begin;
  piece.seq =
      make_seq_context(*cx.pool, mesh.sequence(), batch.tokens_BT.size(0), end - begin,
                       columns(cx, batch.starts_BT, begin, end, static_cast<int32_t>(begin)), mesh.sequence_options);
  piece.tokens_BT = own_columns(*cx.pool, piece.seq, columns(cx, batch.tokens_BT, begin, end));
  piece.targets_BT = own_columns(*cx.pool, piece.seq, columns(cx, batch.targets_BT, begin, end));
  return piece;
}

}  // namespace

SegmentedRows::SegmentedRows(HybridLM& model, const Batch& batch, const RowsOptions& options)
    : model_(model), cx_(model.context()), batch_(batch), options_(options), row_{batch.tokens_BT.size(1), {}} {
  segment_ = options.segment_length > 0 ? std::min(options.segment_length, row_.length) : row_.length;
  OG_CHECK(!options.recompute || count() == 1, "rows: recompute inside segments");
  entries_.assign(static_cast<size_t>(count()), States(model.blocks().size()));
  pins_.resize(static_cast<size_t>(count()) - 1);
}

BatchPiece SegmentedRows::piece(int64_t s) const {
  return cut(cx_, model_.mesh(), batch_, s * segment_, std::min((s + 1) * segment_, row_.length));
}

StepContext SegmentedRows::context(Tape& tape, const BatchPiece& piece, bool training) {
  return {.tape = tape,
          .mesh = model_.mesh(),
          .seq = piece.seq,
          .rows_in_step = options_.rows_in_step,
          .training = training,
          .row = count() > 1 ? &row_ : nullptr,
          .recompute = options_.recompute && tape.recording()};
}

void SegmentedRows::learn_states(const StepSums& sums) {
  for (int64_t s = 0; s + 1 < count(); ++s) {
    SegmentRun run(s, piece(s), std::make_unique<Tape>(cx_, Tape::Mode::no_gradient));
    run.tape->pins = &pins_[static_cast<size_t>(s)];
    run.states = entries_[static_cast<size_t>(s)];
    run.side.sums = sums.only({StepSum::tokens_dropped});
    StepContext step = context(*run.tape, run.piece, true);
    model_.hidden(step, run.piece.tokens_BT, &run.states, run.side);
    keep_exits(s, std::move(run.states));
  }
}

// A growing value (keys and values of attention) gets rows appended and never loses any. What it was at an earlier
// border is therefore the beginning of what it is at a later one, and the longest alone is kept.
void SegmentedRows::keep_exits(int64_t s, States exits) {
  for (MixerState& state : entries_[static_cast<size_t>(s)])
    for (const std::string& name : state.growing) state.values.erase(name);
  entries_[static_cast<size_t>(s) + 1] = std::move(exits);
  if (s + 2 == count()) longest_ = entries_.back();
}

SegmentRun SegmentedRows::begin_recorded(int64_t s, const StepSums& sums) {
  SegmentRun run(s, piece(s), std::make_unique<Tape>(cx_));
  run.side.sums = sums;
  if (s + 1 < count()) {
    // The last segment knows the loads of the whole row; the quiet walk has counted the drops of the others.
    run.side.sums = sums.only({StepSum::aux_loss, StepSum::z_loss});
    pins_[static_cast<size_t>(s)].rewind();
    run.tape->pins = &pins_[static_cast<size_t>(s)];
    run.tape->runs_again = true;
  }
  run.entries = leaves(s);
  run.states = run.entries;
  return run;
}

void SegmentedRows::end_forward(SegmentRun& run) {
  run.tape->pins = nullptr;
  run.tape->runs_again = false;  // backward's own collectives run for the first time
}

void SegmentedRows::walk_back(SegmentRun& run, const std::function<void(Slot&)>& on_leaf_ready) {
  run.tape->on_leaf_ready = on_leaf_ready;
  for (const Value& extra : run.side.losses)
    if (extra.wants_gradient()) extra.slot()->open(cx_).tensor.fill(1);
  for (size_t layer = 0; layer < gradients_.size(); ++layer)
    for (const auto& [name, gradient] : gradients_[layer]) {
      const Value exit = run.states[layer].get(name);
      if (exit.wants_gradient()) exit.slot()->open(cx_).tensor.copy_from(gradient);
    }
  run.states.clear();
  run.tape->backward_from_slots();
  gradients_.assign(run.entries.size(), {});
  for (size_t layer = 0; layer < run.entries.size(); ++layer)
    for (const auto& [name, entry] : run.entries[layer].values)
      gradients_[layer][name] = entry.slot()->gradient_or_zero(cx_);
  if (run.segment > 0) {
    entries_.resize(static_cast<size_t>(run.segment) + 1);
  } else {
    entries_.clear(), longest_.clear(), pins_.clear(), gradients_.clear();
  }
}

// The entry states of a segment as leaves, which get gradients.
States SegmentedRows::leaves(int64_t s) {
  States out(model_.blocks().size());
  if (s == 0) return out;
  for (size_t layer = 0; layer < out.size(); ++layer) {
    const MixerState& kept = entries_[static_cast<size_t>(s)][layer];
    const MixerState& longest = longest_[layer];
    out[layer].growing = longest.growing;
    for (const auto& [name, value] : kept.values)
      if (!longest.growing.contains(name)) out[layer].set(name, Value::leaf(value.tensor(), value.place()));
    for (const std::string& name : longest.growing) {
      const Value all = longest.get(name);
      out[layer].set(name, Value::leaf(first_rows(all.tensor(), s * segment_), all.place()));
    }
  }
  return out;
}

// [B, S, ..] -> [B, count, ..].
Tensor SegmentedRows::first_rows(const Tensor& x, int64_t count) const {
  if (x.size(0) > 1) return copy_range(cx_, 1, x, 0, count);
  Shape shape = x.shape();
  shape.set(1, count);
  return x.reshape({x.size(1), x.shape().count_from(2)}).slice(0, count).reshape(shape);
}

double forward_rows(HybridLM& model, const Batch& batch, const RowsOptions& options, const VisitSegment& visit) {
  SegmentedRows rows(model, batch, options);
  Context& cx = model.context();
  States states(model.blocks().size());
  const Tensor sum = cx.zeros({1}, DType::f64);
  for (int64_t s = 0; s < rows.count(); ++s) {
    const BatchPiece p = rows.piece(s);
    Tape tape(cx, Tape::Mode::no_gradient);
    StepContext step = rows.context(tape, p, false);
    SideOutputs side;
    Tensor token_losses;
    const Value loss = model.loss(step, p.tokens_BT, p.targets_BT, rows.count() > 1 ? &states : nullptr, side,
                                  visit ? &token_losses : nullptr);
    add_scalar(cx.stream, sum, loss.tensor());
    if (visit && model.has_head()) visit(p, token_losses);
  }
  return host_read<double>(cx, sum)[0];
}

void train_rows(HybridLM& model, const Batch& batch, const RowsOptions& options, double weight, const StepSums& sums,
                const std::function<void(Slot&)>& on_leaf_ready) {
  SegmentedRows rows(model, batch, options);
  rows.learn_states(sums);
  Context& cx = model.context();
  const Tensor sum = cx.zeros({1}, DType::f64);  // segments first: the sum of rows does not depend on the rows before
  for (int64_t s = rows.count() - 1; s >= 0; --s) {
    SegmentRun run = rows.begin_recorded(s, sums);
    StepContext step = rows.context(*run.tape, run.piece, true);
    const Value loss =
        model.loss(step, run.piece.tokens_BT, run.piece.targets_BT, rows.count() > 1 ? &run.states : nullptr, run.side);
    rows.end_forward(run);
    add_scalar(cx.stream, sum, loss.tensor());
    loss.slot()->open(cx).tensor.fill(weight);
    rows.walk_back(run, s == 0 ? on_leaf_ready : std::function<void(Slot&)>());
  }
  sums.add(cx, StepSum::loss, sum);
}

}  // namespace og

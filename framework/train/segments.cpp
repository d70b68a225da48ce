#include "framework/train/segments.h"

#include <algorithm>
#include <cstring>

namespace og {

namespace {

using States = std::vector<MixerState>;

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

class Rows {
 public:
  Rows(Context& cx, Mesh& mesh, HybridLM& model, const Batch& batch, const RowsOptions& options)
      : cx_(cx), mesh_(mesh), model_(model), batch_(batch), options_(options), row_{batch.tokens_BT.size(1), {}} {
    segment_ = options.segment_length > 0 ? std::min(options.segment_length, row_.length) : row_.length;
    OG_CHECK(!options.recompute || num_segments() == 1, "rows: recompute inside segments");
  }

  int64_t num_segments() const { return (row_.length + segment_ - 1) / segment_; }
  BatchPiece piece(int64_t s) const {
    return cut(cx_, mesh_, batch_, s * segment_, std::min((s + 1) * segment_, row_.length));
  }
  StepContext context(Tape& tape, const BatchPiece& piece, bool training) {
    return {tape, mesh_, piece.seq, options_.rows_in_step, training, num_segments() > 1 ? &row_ : nullptr};
  }
  // What layers carry from segment to segment; null where a row is taken whole.
  States* states_or_null(States& states) const { return num_segments() > 1 ? &states : nullptr; }
  States no_states() const { return States(model_.blocks().size()); }

  double forward(const VisitSegment& visit) {
    States states = no_states();
    double sum = 0;
    for (int64_t s = 0; s < num_segments(); ++s) {
      const BatchPiece p = piece(s);
      Tape tape(cx_, Tape::Mode::no_gradient);
      StepContext step = context(tape, p, false);
      SideOutputs side;
      Tensor token_losses;
      sum += model_
                 .loss(step, p.tokens_BT, p.targets_BT, states_or_null(states), side, false,
                       visit ? &token_losses : nullptr)
                 .tensor()
                 .at(0);
      if (visit && model_.has_head()) visit(p, token_losses);
    }
    return sum;
  }

  double train(double weight, SideOutputs& side, const std::function<void(Slot&)>& on_leaf_ready) {
    side.tokens_dropped += walk_to_last();
    double sum = 0;
    for (int64_t s = num_segments() - 1; s >= 0; --s) {
      const bool last = s + 1 == num_segments();
      SideOutputs own;
      sum += walk_back(s, weight, own, s == 0 ? on_leaf_ready : std::function<void(Slot&)>());
      side.aux_loss.insert(side.aux_loss.end(), own.aux_loss.begin(), own.aux_loss.end());
      side.z_loss.insert(side.z_loss.end(), own.z_loss.begin(), own.z_loss.end());
      if (!last) continue;  // the loads of the row, and drops that the first walk has not seen
      side.load_max_over_mean.insert(side.load_max_over_mean.end(), own.load_max_over_mean.begin(),
                                     own.load_max_over_mean.end());
      side.tokens_dropped += own.tokens_dropped;
    }
    return sum;
  }

 private:
  // Every segment but the last, forward: their entry states and pins. Returns the choices of experts that were dropped.
  int64_t walk_to_last() {
    entries_.assign(static_cast<size_t>(num_segments()), no_states());
    pins_.resize(static_cast<size_t>(num_segments()) - 1);
    SideOutputs side;
    for (int64_t s = 0; s + 1 < num_segments(); ++s) {
      const BatchPiece p = piece(s);
      Tape tape(cx_, Tape::Mode::no_gradient);
      tape.pins = &pins_[static_cast<size_t>(s)];
      StepContext step = context(tape, p, true);
      States states = entries_[static_cast<size_t>(s)];
      model_.hidden(step, p.tokens_BT, &states, side, false);
      // What grows holds all that it held before: only the longest is kept.
      for (MixerState& state : entries_[static_cast<size_t>(s)])
        for (const std::string& name : state.growing) state.values.erase(name);
      entries_[static_cast<size_t>(s) + 1] = std::move(states);
    }
    longest_ = entries_.back();
    return side.tokens_dropped;
  }

  // A segment from its entry states, recorded, and back.
  double walk_back(int64_t s, double weight, SideOutputs& side, const std::function<void(Slot&)>& on_leaf_ready) {
    const BatchPiece p = piece(s);
    Tape tape(cx_);
    const bool again = s + 1 < num_segments();
    if (again) {
      pins_[static_cast<size_t>(s)].rewind();
      tape.pins = &pins_[static_cast<size_t>(s)];
      tape.collective_site_override = "recompute";
    }
    const States entries = leaves(s);
    States states = entries;
    StepContext step = context(tape, p, true);
    const Value loss = model_.loss(step, p.tokens_BT, p.targets_BT, states_or_null(states), side, options_.recompute);
    tape.pins = nullptr;
    tape.collective_site_override = nullptr;  // the backward's own collectives are the first of their kind
    tape.on_leaf_ready = on_leaf_ready;
    loss.slot()->open(cx_).tensor.fill(weight);
    for (const Value& extra : side.losses)
      if (extra.wants_gradient()) extra.slot()->open(cx_).tensor.fill(1);
    for (size_t layer = 0; layer < gradients_.size(); ++layer)
      for (const auto& [name, gradient] : gradients_[layer]) {
        const Value exit = states[layer].get(name);
        if (exit.wants_gradient()) exit.slot()->open(cx_).tensor.copy_from(gradient);
      }
    states.clear();
    tape.backward_from_slots();
    gradients_.assign(entries.size(), {});
    for (size_t layer = 0; layer < entries.size(); ++layer)
      for (const auto& [name, entry] : entries[layer].values)
        gradients_[layer][name] = entry.slot()->gradient_or_zero(cx_);
    if (s > 0) entries_.resize(static_cast<size_t>(s) + 1);
    return loss.tensor().at(0);
  }

  // The entry states of a segment, as what gradients are wanted of.
  States leaves(int64_t s) {
    States out = no_states();
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
  Tensor first_rows(const Tensor& x, int64_t count) const {
    Shape shape = x.shape();
    shape.set(1, count);
    const int64_t batch = x.size(0), rows = x.size(1), inner = x.shape().count_from(2);
    if (batch == 1) return x.reshape({rows, inner}).slice(0, count).reshape(shape);
    const Tensor out = cx_.empty(shape, x.dtype());
    const int64_t row = inner * size_of(x.dtype());
    for (int64_t b = 0; b < batch; ++b)
      std::memcpy(out.raw() + b * count * row, x.raw() + b * rows * row, static_cast<size_t>(count * row));
    return out;
  }

  Context& cx_;
  Mesh& mesh_;
  HybridLM& model_;
  const Batch& batch_;
  const RowsOptions options_;
  SegmentedRow row_;
  int64_t segment_ = 0;
  States longest_;               // of the last segment: what grows in earlier ones is its beginning
  std::vector<States> entries_;  // by segment
  std::vector<Pins> pins_;       // of the segments that run twice
  std::vector<std::map<std::string, Tensor>> gradients_;  // of the entry states of the segment walked last, by layer
};

}  // namespace

BatchPiece whole_rows(Context& cx, Mesh& mesh, const Batch& batch) {
  return cut(cx, mesh, batch, 0, batch.tokens_BT.size(1));
}

double forward_rows(Context& cx, Mesh& mesh, HybridLM& model, const Batch& batch, const RowsOptions& options,
                    const VisitSegment& visit) {
  return Rows(cx, mesh, model, batch, options).forward(visit);
}

double train_rows(Context& cx, Mesh& mesh, HybridLM& model, const Batch& batch, const RowsOptions& options,
                  double weight, SideOutputs& side, const std::function<void(Slot&)>& on_leaf_ready) {
  return Rows(cx, mesh, model, batch, options).train(weight, side, on_leaf_ready);
}

}  // namespace og

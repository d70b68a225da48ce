// Rows of a batch through the model, forward alone or forward and backward, whole or in segments
// (train.segment_length).
//
// Segments train exactly, in memory that depends on the segment and not on the row. Forward keeps the layers' states at
// the borders; the last segment is recorded at once; then, from the right, every segment runs again from its entry
// state, takes the gradient of its exit state from the segment after it and gives that of its entry state to the one
// before. Entry states inside the segment and routing are pinned, so the second run starts no AllGather of states
// (full softmax layers gather the segment's K and V again).
//
//   layer            kept at a border                    cost
//   linear           its state                           fixed
//   short conv       W - 1 rows                          fixed
//   sliding window   window - 1 rows of K and V          fixed
//   full softmax     K and V of all tokens before        grows with the row, and as much for dK and dV
//
// Balance losses and capacities count over whole rows: the counts of all segments are known before the first gradient.
// A segment counts global tokens and is split over the sequence ranks as a row is. Forward runs (2 - 1 / segments)
// times.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "framework/data/batch.h"
#include "models/hybrid_lm.h"

namespace og {

// This rank's piece of the tokens [begin, end) of every row of a batch.
struct BatchPiece {
  Tensor tokens_BT, targets_BT;
  SeqContext seq;
  int64_t begin = 0;  // place in the row of the segment's first token
};

struct RowsOptions {
  int64_t rows_in_step = 1;    // rows in the whole optimizer step: auxiliary losses are a mean over them
  int64_t segment_length = 0;  // 0: whole rows
  bool recompute = false;      // whole rows only
};

using States = std::vector<MixerState>;  // by layer

// A segment on its way: recorded, or quiet to learn its exit states. side and tape outlive its backward pass; it is not
// moved while the tape holds functions.
struct SegmentRun {
  SegmentRun(int64_t s, BatchPiece p, std::unique_ptr<Tape> t) : segment(s), piece(std::move(p)), tape(std::move(t)) {}
  int64_t segment;
  BatchPiece piece;
  std::unique_ptr<Tape> tape;
  SideOutputs side;
  States entries;  // leaves
  States states;   // the entries, and behind the forward pass the exits
};

// The rows of one batch in segments: what is carried over their borders. Use: learn_states; then from the right, each
// segment once: begin_recorded, forward, end_forward, and in the same order walk_back with the gradient of its output
// in place. Several may be between forward and walk_back.
class SegmentedRows {
 public:
  SegmentedRows(HybridLM& model, const Batch& batch, const RowsOptions& options);
  int64_t count() const { return (row_.length + segment_ - 1) / segment_; }
  BatchPiece piece(int64_t s) const;
  StepContext context(Tape& tape, const BatchPiece& piece, bool training);

  // Runs every segment but the last, from the left, without gradients, and keeps the states at the borders.
  // sums: what is logged of the whole rows.
  void learn_states(const StepSums& sums);
  SegmentRun begin_recorded(int64_t s, const StepSums& sums);
  void end_forward(SegmentRun& run);
  void walk_back(SegmentRun& run, const std::function<void(Slot&)>& on_leaf_ready);

 private:
  void keep_exits(int64_t s, States exits);
  States leaves(int64_t s);
  Tensor first_rows(const Tensor& x, int64_t count) const;

  HybridLM& model_;
  Context& cx_;
  const Batch& batch_;
  const RowsOptions options_;
  SegmentedRow row_;
  int64_t segment_ = 0;
  States longest_;  // the last segment's entries: growing values of earlier segments are beginnings of these
  std::vector<States> entries_;  // by segment, without what grows
  std::vector<Pins> pins_;       // one for each segment that runs twice
  std::vector<std::map<std::string, Tensor>>
      gradients_;  // gradients of the entry states of the segment walked last, by layer
};

// The sum of the losses of this rank's tokens; nothing is kept. visit, if given: each segment with the losses of its
// tokens [B, T].
using VisitSegment = std::function<void(const BatchPiece&, const Tensor& token_losses)>;
double forward_rows(HybridLM& model, const Batch& batch, const RowsOptions& options, const VisitSegment& visit = {});

// The same, and the gradients of weight * (that sum) + auxiliary losses, added to the parameters' slots.
// That sum is added to StepSum::loss. on_leaf_ready: called in the last backward pass, when a parameter's gradient is
// complete; may be empty.
void train_rows(HybridLM& model, const Batch& batch, const RowsOptions& options, double weight, const StepSums& sums,
                const std::function<void(Slot&)>& on_leaf_ready);

}  // namespace og

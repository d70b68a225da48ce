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

#include "framework/data/batch.h"
#include "models/hybrid_lm.h"

namespace og {

// This rank's piece of the tokens [begin, end) of every row of a batch.
struct BatchPiece {
  Tensor tokens_BT, targets_BT;
  SeqContext seq;
  int64_t begin = 0;  // place in the row of the segment's first token
};

BatchPiece whole_rows(Context& cx, Mesh& mesh, const Batch& batch);

struct RowsOptions {
  int64_t rows_in_step = 1;    // of the whole optimizer step: the mean of auxiliary losses
  int64_t segment_length = 0;  // 0: whole rows
  bool recompute = false;      // whole rows only
};

// The sum of the losses of this rank's tokens; nothing is kept. visit, if given: each segment with the losses of its
// tokens [B, T].
using VisitSegment = std::function<void(const BatchPiece&, const Tensor& token_losses)>;
double forward_rows(Context& cx, Mesh& mesh, HybridLM& model, const Batch& batch, const RowsOptions& options,
                    const VisitSegment& visit = {});

// The same, and the gradients of weight * (that sum) + auxiliary losses, added to the parameters' slots.
// on_leaf_ready: called in the last backward pass, when a parameter's gradient is complete; may be empty.
double train_rows(Context& cx, Mesh& mesh, HybridLM& model, const Batch& batch, const RowsOptions& options,
                  double weight, SideOutputs& side, const std::function<void(Slot&)>& on_leaf_ready);

}  // namespace og

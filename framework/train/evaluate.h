// Evaluation: the loss of rows, without gradients, over all ranks: that of `onegather eval`, and `eval_loss` of a run.
#pragma once

#include <vector>

#include "framework/data/loader.h"
#include "framework/train/segments.h"

namespace og {

struct Evaluation {
  double loss_sum = 0;  // sum of -log p, nats
  double valid_tokens = 0;
  std::vector<double> loss_at, tokens_at;  // the same by position in the row, if asked for
  double loss() const { return loss_sum / valid_tokens; }
};

// Collective over the model's mesh. at_once: rows a data rank takes at a time; segment_length: as in RowsOptions.
Evaluation evaluate_rows(HybridLM& model, int64_t num_rows, int64_t at_once, int64_t segment_length,
                         const RowSource& rows, bool by_position);

// Rows of an epoch that an evaluation of `most` rows reads (0: all): that many, spread evenly over all, in their order.
std::vector<int64_t> spread_rows(int64_t rows, int64_t most);

// The same of spread_rows of the data.
Evaluation evaluate_data(HybridLM& model, const Loader& data, int64_t most_rows, int64_t at_once,
                         int64_t segment_length, bool by_position);

}  // namespace og

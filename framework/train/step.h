// One optimizer step: micro steps forward and backward with gradients reduced while the last backward runs, the norm,
// the update. Knows nothing of files, configs or screens.
#pragma once

#include <functional>
#include <string>

#include "framework/optim/adamw.h"
#include "framework/train/evaluate.h"
#include "models/hybrid_lm.h"
#include "parallel/step/gradients.h"

namespace og {

struct StepOptions {
  RowsOptions rows;
  int64_t micro_batch_size = 1;  // rows a data rank takes at once
  double max_grad_norm = 1.0;    // 0: no clipping
};

// Means over the whole step and all ranks; the same on every rank.
struct StepResult {
  double loss = 0;  // mean cross-entropy of valid tokens, nats
  double aux_loss = 0, z_loss = 0;
  double grad_norm = 0;  // before clipping
  int64_t valid_tokens = 0;
  double expert_load_max_over_mean = 0;  // mean over layers; 0 without experts
  int64_t tokens_dropped = 0;
  double data_seconds = 0;
  bool stop_requested = false;  // on any rank
};

// The phase (CommPhase) of run()'s collectives.
inline constexpr const char* kStepPhase = "step";

class TrainStep {
 public:
  TrainStep(HybridLM& model, AdamW& optimizer, const StepOptions& options);

  // Rows [first_row, first_row + rows_in_step). stop_requested: this rank's own wish, agreed with the others on the
  // way. Throws Error(Status::numbers), on every rank and with weights and moments as they were, if the loss or a
  // gradient is not finite: the message names the step and the first layer where it appears. cx.host_reads grows by
  // one, and by those of layers.
  StepResult run(int64_t step, int64_t first_row, const RowSource& rows, double learning_rate, bool stop_requested);

  // Before the weights after `step` are saved: a forward pass over the beginnings of the rows that come next, one a
  // data rank. A loss that is not finite or far above that of a model that knows nothing: Error(Status::numbers) on
  // every rank.
  void try_weights(int64_t step, int64_t first_row, const RowSource& rows);

 private:
  void sum_over_world(const StepSums& sums, double weight, bool stop_requested);
  void read(const StepSums& sums, StepResult& result);  // the step's one host read
  // Collective: the first place of a forward pass over these batches, or the last of the gradients that are there.
  std::string where_numbers_go_bad(const std::vector<Batch>& batches);

  HybridLM& model_;
  Context& cx_;
  Mesh& mesh_;
  AdamW& optimizer_;
  const StepOptions options_;
  GradientReducer reducer_;
};

}  // namespace og

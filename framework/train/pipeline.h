// One optimizer step's micro steps through a pipeline, forward and backward, by the schedule of pipeline_schedule.h. A
// stage keeps a tape a micro step and chunk in flight; hidden states go on to the next chunk's stage (site
// pipeline.forward), their gradients back (pipeline.backward), both while the stage computes.
#pragma once

#include <functional>
#include <vector>

#include "framework/train/segments.h"

namespace og {

// As train_rows of each batch in turn; sums get what this stage's layers log, on the last stage the losses.
// on_leaf_ready: called in the last backward pass of each of the stage's chunks.
void train_pipeline(HybridLM& model, const std::vector<Batch>& batches, const RowsOptions& options, double weight,
                    const StepSums& sums, const std::function<void(Slot&)>& on_leaf_ready);

}  // namespace og

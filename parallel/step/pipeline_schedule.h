// The order in which a pipeline stage runs the forward and backward passes of its micro steps.
//   1F1B (arXiv 2006.09503): stage i of P runs min(P - 1 - i, m) forwards, then one forward and one backward in turn,
//   so that at most P - i micro steps are in flight on it; bubble (P - 1) / m of the compute. Interleaved (arXiv
//   2104.04473): each stage holds V chunks of the layers, chunk c on stage c mod P; micro steps go through them in
//   groups of P (m a multiple of P); bubble (P - 1) / (m V), V times the transfers.
#pragma once

#include <cstdint>
#include <vector>

namespace og {

// The layers are cut into chunks, virtual_stages of them a stage; they are dealt to the stages in turn.
inline int pipeline_chunks(int stages, int virtual_stages) { return stages > 1 ? stages * virtual_stages : 1; }
inline int stage_of_chunk(int chunk, int stages) { return chunk % stages; }

struct PipelineAction {
  bool forward = true;
  int64_t micro = 0;
  int chunk = 0;  // one of the P V chunks of the model
};

// virtual_stages 1: 1F1B. Every micro step once forward and once backward through every chunk of the stage.
std::vector<PipelineAction> pipeline_actions(int stage, int stages, int virtual_stages, int64_t micro_steps);

// The most micro steps times chunks that the stage holds between forward and backward.
int64_t most_in_flight(const std::vector<PipelineAction>& actions);

}  // namespace og

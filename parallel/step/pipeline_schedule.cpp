#include "parallel/step/pipeline_schedule.h"

#include <algorithm>

namespace og {

std::vector<PipelineAction> pipeline_actions(int stage, int stages, int virtual_stages, int64_t micro_steps) {
  const int64_t total = micro_steps * virtual_stages;
  const int64_t ahead =
      virtual_stages == 1 ? stages - 1 - stage : 2 * (stages - 1 - stage) + int64_t{virtual_stages - 1} * stages;
  const int64_t warm_up = std::min(ahead, total);
  // The k-th pass of the stage: `stages` micro steps through one of its chunks, then through the next.
  const auto pass = [&](int64_t k, bool forward) {
    if (virtual_stages == 1) return PipelineAction{forward, k, stage};
    const int64_t group = int64_t{stages} * virtual_stages;
    const auto turn = static_cast<int>(k % group / stages);
    const int own = forward ? turn : virtual_stages - 1 - turn;
    return PipelineAction{forward, k / group * stages + k % stages, own * stages + stage};
  };
  std::vector<PipelineAction> actions;
  for (int64_t k = 0; k < warm_up; ++k) actions.push_back(pass(k, true));
  for (int64_t k = 0; k < total; ++k) {
    if (warm_up + k < total) actions.push_back(pass(warm_up + k, true));
    actions.push_back(pass(k, false));
  }
  return actions;
}

int64_t most_in_flight(const std::vector<PipelineAction>& actions) {
  int64_t now = 0, most = 0;
  for (const PipelineAction& a : actions) most = std::max(most, now += a.forward ? 1 : -1);
  return most;
}

}  // namespace og

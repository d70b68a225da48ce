// Schedules of the pipeline, run by a simulator: every micro step passes every chunk once each way, nobody waits for
// ever, transfers between two stages are met in the order in which they were sent, and what is in flight is bounded.
#include "parallel/step/pipeline_schedule.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>
#include <tuple>

namespace og {
namespace {

using Message = std::tuple<bool, int64_t, int>;  // direction, micro step, chunk that takes it

// Runs all stages until none can go on. Sends never block; a receive takes the oldest message of its direction from
// that stage, which must be the one it waits for.
void simulate(int stages, int virtual_stages, int64_t micro) {
  const int chunks = stages * virtual_stages;
  std::vector<std::vector<PipelineAction>> actions;
  for (int s = 0; s < stages; ++s) actions.push_back(pipeline_actions(s, stages, virtual_stages, micro));
  std::vector<size_t> next(static_cast<size_t>(stages), 0);
  std::map<std::tuple<bool, int, int>, std::deque<Message>> links;  // direction, from, to
  std::set<Message> done;
  for (bool moved = true; moved;) {
    moved = false;
    for (int s = 0; s < stages; ++s) {
      size_t& at = next[static_cast<size_t>(s)];
      if (at == actions[static_cast<size_t>(s)].size()) continue;
      const PipelineAction& a = actions[static_cast<size_t>(s)][at];
      ASSERT_EQ(a.chunk % stages, s);
      const int before = a.forward ? a.chunk - 1 : a.chunk + 1, after = a.forward ? a.chunk + 1 : a.chunk - 1;
      if (0 <= before && before < chunks && stages > 1) {
        auto& link = links[{a.forward, before % stages, s}];
        if (link.empty()) continue;
        ASSERT_EQ(link.front(), Message(a.forward, a.micro, a.chunk)) << "stage " << s << " of " << stages;
        link.pop_front();
      }
      if (!a.forward) {
        ASSERT_TRUE(done.contains({true, a.micro, a.chunk}));
      }
      ASSERT_TRUE(done.insert({a.forward, a.micro, a.chunk}).second);
      if (0 <= after && after < chunks && stages > 1)
        links[{a.forward, s, after % stages}].push_back({a.forward, a.micro, after});
      ++at;
      moved = true;
    }
  }
  EXPECT_EQ(static_cast<int64_t>(done.size()), 2 * micro * chunks)
      << stages << " stages of " << virtual_stages << " chunks, " << micro << " micro steps";
}

TEST(PipelineSchedule, OneForwardOneBackward) {
  for (int stages : {1, 2, 3, 4, 7})
    for (int64_t micro : {1, 2, 3, 5, 8, 17}) {
      simulate(stages, 1, micro);
      for (int s = 0; s < stages; ++s)
        EXPECT_EQ(most_in_flight(pipeline_actions(s, stages, 1, micro)), std::min<int64_t>(stages - s, micro));
    }
}

TEST(PipelineSchedule, Interleaved) {
  for (int stages : {2, 3, 4})
    for (int chunks : {2, 3})
      for (int64_t groups : {1, 2, 4}) {
        simulate(stages, chunks, groups * stages);
        for (int s = 0; s < stages; ++s)
          EXPECT_LE(most_in_flight(pipeline_actions(s, stages, chunks, groups * stages)),
                    2 * (stages - 1 - s) + (chunks - 1) * stages + 1);
      }
}

}  // namespace
}  // namespace og

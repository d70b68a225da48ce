// How often the host reads what kernels computed: once a step, whatever the layout, and where experts are spread over
// ranks once more a mixture-of-experts layer and micro step.
#include <algorithm>
#include <mutex>

#include "framework/core/host_read.h"
#include "tests/train/step_outcome.h"

namespace og {
namespace {

const std::vector<std::string> kDense{"model.channel_pattern=P"};
constexpr int64_t kRows = 8, kMoeLayers = 2;  // kStepConfig has them

int64_t reads(const Degrees& d, std::vector<std::string> overrides, int64_t micro = 1, bool recompute = false) {
  int64_t most = 0;
  std::mutex lock;
  world(d.world(), [&](Comm& comm) {
    const Outcome o = run(comm, d, 2, recompute, micro, overrides);
    const std::lock_guard hold(lock);
    most = std::max(most, o.host_reads);
  });
  return most;
}

TEST(HostReads, AreCountedOneACall) {
  Context cx;
  const Tensor x = Tensor::full(*cx.pool, {2, 3}, DType::i32, 7);
  EXPECT_EQ(host_read<int32_t>(cx, x), std::vector<int32_t>(6, 7));
  EXPECT_EQ(host_read<int32_t>(cx, x.slice(1, 1)), std::vector<int32_t>());
  EXPECT_EQ(cx.host_reads, 2);
  EXPECT_THROW(host_read<float>(cx, x), Error);
  EXPECT_THROW(host_read<float>(cx, Tensor()), Error);
}

TEST(HostReads, AStepWithoutExpertsHasOne) {
  for (const Degrees& d : {Degrees{}, Degrees{.data = 2}, Degrees{.sequence = 2}, Degrees{.tensor = 2},
                           Degrees{.pipeline = 2}, Degrees{.data = 2, .sequence = 2, .tensor = 2}})
    EXPECT_EQ(reads(d, kDense), 1) << d.world();
  const auto with = [](const std::string& more) { return std::vector{kDense[0], more}; };
  EXPECT_EQ(reads({.data = 2}, with("parallel.zero=1")), 1);
  EXPECT_EQ(reads({.tensor = 2}, with("parallel.sequence_norms=true")), 1);
  EXPECT_EQ(reads({.sequence = 2}, with("train.segment_length=5")), 1);
  EXPECT_EQ(reads({.pipeline = 2}, with("train.segment_length=5")), 1);
  EXPECT_EQ(reads({.sequence = 2}, kDense, 1, true), 1);
  EXPECT_EQ(reads({}, kDense, 4), 1);
}

TEST(HostReads, AStepWithExpertsHasOneMoreALayerAndMicroStepIfTheyAreSpread) {
  for (const Degrees& d : {Degrees{}, Degrees{.data = 2, .expert = 2}, Degrees{.sequence = 2, .expert = 2},
                           Degrees{.tensor = 2, .expert = 2}, Degrees{.data = 2, .sequence = 2, .expert = 4}})
    for (const int64_t micro : {1, 2}) {
      const int64_t micro_steps = kRows / micro / d.data;
      EXPECT_EQ(reads(d, {}, micro), 1 + (d.expert > 1 ? kMoeLayers * micro_steps : 0)) << d.world();
    }
  const std::vector<std::string> drops{"model.channels.M.capacity_factor=0.8"};
  EXPECT_EQ(reads({}, drops), 1);
  EXPECT_EQ(reads({.sequence = 2}, drops), 1);
  // Neither recompute nor the second walk over segments, here three, decides anything again.
  EXPECT_EQ(reads({.data = 2, .expert = 2}, {}, 1, true), 1 + kMoeLayers * kRows / 2);
  EXPECT_EQ(reads({.sequence = 2, .expert = 2}, {"train.segment_length=5"}), 1 + 3 * kMoeLayers * kRows);
}

}  // namespace
}  // namespace og

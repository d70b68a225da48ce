// Head-tail order of the sequence: any layout gives the step of one rank, in one AllGather a linear layer and
// direction, and every rank attends to as many keys.
#include <map>
#include <mutex>

#include "tests/train/step_outcome.h"

namespace og {
namespace {

// 24 tokens: 2 P shards for P = 2, 3, 4.
std::vector<std::string> zigzag(std::vector<std::string> more = {}) {
  more.push_back("data.sequence_length=24");
  more.push_back("train.tokens_per_step=192");
  return more;
}

Outcome run_zigzag(Comm& comm, const Degrees& d, bool recompute = false, int64_t micro = 1,
                   const std::vector<std::string>& more = {}) {
  std::vector<std::string> overrides = zigzag(more);
  overrides.push_back("parallel.sequence_order=zigzag");
  return run(comm, d, 4, recompute, micro, overrides);
}

Outcome one(const std::vector<std::string>& more = {}) {
  Outcome o;
  world(1, [&](Comm& comm) { o = run(comm, {}, 4, false, 1, zigzag(more)); });
  return o;
}

TEST(Zigzag, GivesTheStepOfOneRank) {
  const Outcome truth = one();
  const Degrees layouts[] = {{.sequence = 2},
                             {.sequence = 3},
                             {.sequence = 4, .expert = 4},
                             {.sequence = 2, .tensor = 2, .expert = 4},
                             {.data = 2, .sequence = 2, .tensor = 2, .expert = 8},
                             {.sequence = 4, .tensor = 2}};
  for (const Degrees& d : layouts)
    world(d.world(), [&](Comm& comm) {
      const std::string what = fmt::format("sequence {} tensor {}", d.sequence, d.tensor);
      expect_same(run_zigzag(comm, d), truth, 1e-10, what);
    });
  world(2, [&](Comm& comm) {
    expect_same(run_zigzag(comm, {.sequence = 2}, false, 4), truth, 1e-10, "four rows at once");
    expect_same(run_zigzag(comm, {.sequence = 2}, true), truth, 1e-10, "recompute");
  });
}

TEST(Zigzag, WorksBesideOtherOptions) {
  const std::vector<std::vector<std::string>> cases = {{"model.mixers.N.sliding_window=5"},
                                                       {"model.mixers.N.sliding_window=11"},
                                                       {"model.channels.M.capacity_factor=1.1"},
                                                       {"model.channels.M.aux_loss_scope=micro_step"},
                                                       {"model.channels.M.balance=bias"}};
  for (const auto& more : cases) {
    const Outcome truth = one(more);
    for (const Degrees& d : {Degrees{.sequence = 3}, Degrees{.sequence = 2, .tensor = 2}})
      world(d.world(), [&](Comm& comm) { expect_same(run_zigzag(comm, d, false, 1, more), truth, 1e-10, more[0]); });
  }
  const Outcome truth = one();
  world(4, [&](Comm& comm) {
    expect_same(run_zigzag(comm, {.sequence = 4}, false, 1, {"parallel.softmax_sequence_method=ring"}), truth, 1e-10,
                "ring");
    expect_same(run_zigzag(comm, {.sequence = 2, .tensor = 2}, false, 2,
                           {"parallel.sequence_norms=true", "parallel.softmax_sequence_method=ring"}),
                truth, 1e-10, "ring, sequence norms");
  });
}

TEST(Zigzag, GathersTwoSummariesARankAtOnce) {
  world(2, [&](Comm& comm) {
    const auto forward = [&](const Outcome& o) {
      for (const CollectiveCount& c : o.counts)
        if (c.site == Sites::mixer_forward) return std::pair(c.calls, c.bytes);
      return std::pair<int64_t, int64_t>();
    };
    const auto plain = forward(run(comm, {.sequence = 2}, 1, false, 1, zigzag()));
    const auto both = forward(run_zigzag(comm, {.sequence = 2}));
    EXPECT_EQ(both.first, plain.first);
    EXPECT_EQ(both.second, 2 * plain.second);
  });
}

// Keys that a rank's queries see, by SeqContext alone.
TEST(Zigzag, EveryRankSeesAsManyKeys) {
  std::mutex lock;
  std::map<int, int64_t> seen;
  world(4, [&](Comm& comm) {
    Context cx;
    const SeqContext seq = make_seq_context(*cx.pool, comm, 1, 32, {}, {.order = SequenceOrder::zigzag});
    EXPECT_EQ(seq.num_rows, 2);
    EXPECT_EQ(seq.local_length(), 4);
    int64_t keys = 0;
    for (int64_t row = 0; row < 2; ++row)
      for (int64_t t = 0; t < 4; ++t) {
        keys += seq.begin(row) + t + 1;
        EXPECT_EQ(seq.start_BT.at(row * 4 + t), -seq.begin(row));
      }
    const std::lock_guard hold(lock);
    seen[comm.rank()] = keys;
  });
  for (const auto& [rank, keys] : seen) EXPECT_EQ(keys, 32 * 33 / 2 / 4) << rank;
}

}  // namespace
}  // namespace og

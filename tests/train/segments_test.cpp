// Rows trained in segments give the step of whole rows: losses, auxiliary losses, gradient norms, over several updates.
#include "framework/train/segments.h"

#include "tests/train/step_outcome.h"

namespace og {
namespace {

std::vector<std::string> segment(int64_t length, std::vector<std::string> more = {}) {
  more.push_back(fmt::format("train.segment_length={}", length));
  return more;
}

TEST(Segments, GiveTheStepOfWholeRowsAtAnyLength) {
  for (int64_t length : {1, 4, 6, 12, 13, 100})
    world(1, [&](Comm& comm) {
      expect_same(run(comm, {}, 4, false, 1, segment(length)), one_rank(), 1e-10,
                  fmt::format("segments of {}", length));
    });
}

TEST(Segments, WorkAtEveryKindOfLayout) {
  const Degrees layouts[] = {{.sequence = 2},
                             {.sequence = 3, .tensor = 2},
                             {.data = 2, .sequence = 2, .tensor = 2, .expert = 8},
                             {.sequence = 8, .expert = 4},
                             {.data = 4, .tensor = 2, .expert = 2}};
  for (const Degrees& d : layouts)
    for (int64_t length : {3, 5})
      world(d.world(), [&](Comm& comm) {
        expect_same(run(comm, d, 4, false, 1, segment(length)), one_rank(), 1e-10,
                    fmt::format("sequence {} tensor {}, segments of {}", d.sequence, d.tensor, length));
      });
}

TEST(Segments, WorkBesideOtherOptions) {
  const std::vector<std::vector<std::string>> cases = {
      {"model.mixers.N.sliding_window=4"},
      {"model.mixers.N.sliding_window=9"},
      {"model.channels.M.aux_loss_scope=micro_step"},
      {"model.channels.M.capacity_factor=1.1"},
      {"model.channels.M.balance=bias"},
      {"model.tie_word_embeddings=true"},
      {"parallel.zero=1"},
  };
  for (const auto& more : cases)
    for (const Degrees& d : {Degrees{}, Degrees{.sequence = 2, .expert = 2}})
      world(d.world(), [&](Comm& comm) {
        expect_same(run(comm, d, 4, false, 1, segment(5, more)), run(comm, d, 4, false, 1, more), 1e-10, more[0]);
      });
  world(2, [&](Comm& comm) {
    const Degrees d{.tensor = 2};
    const std::vector<std::string> norms{"parallel.sequence_norms=true"};
    expect_same(run(comm, d, 4, false, 1, segment(5, norms)), one_rank(), 1e-10, "sequence norms");
  });
  world(2, [&](Comm& comm) {
    expect_same(run(comm, {.data = 2}, 4, false, 4, segment(5)), one_rank(), 1e-10, "four rows at once");
  });
}

// A capacity counts a row by itself, the balance loss all rows of all data ranks: each with what its own segments
// before brought, with one and with four rows at once.
TEST(Segments, KeepWhatCapacityCountsApartFromWhatTheLossCounts) {
  const std::vector<std::string> both{"model.channels.M.capacity_factor=1.1",
                                      "model.channels.M.aux_loss_scope=micro_step"};
  for (const auto& [degrees, micro] : {std::pair{Degrees{.data = 2, .expert = 2}, 4},
                                       {Degrees{.data = 2}, 1},
                                       {Degrees{.sequence = 2, .expert = 2}, 4}})
    world(2, [&, d = degrees, m = micro](Comm& comm) {
      const Outcome whole = run(comm, d, 3, false, m, both);
      EXPECT_GT(whole.steps.back().tokens_dropped, 0);
      for (const int64_t length : {3, 5}) {
        const Outcome cut = run(comm, d, 3, false, m, segment(length, both));
        expect_same(cut, whole, 1e-10, fmt::format("segments of {}", length));
        for (size_t s = 0; s < cut.steps.size(); ++s)
          EXPECT_EQ(cut.steps[s].tokens_dropped, whole.steps[s].tokens_dropped);
      }
    });
}

// One AllGather a linear layer, segment and direction; its bytes do not depend on the segment's length.
TEST(Segments, GatherStatesOnceASegmentAndDirection) {
  world(2, [&](Comm& comm) {
    const auto gathered = [](const Outcome& o) {
      std::map<std::string, int64_t> bytes;
      for (const CollectiveCount& c : o.counts)
        if (c.site == Sites::mixer_forward || c.site == Sites::mixer_backward) bytes[c.site.name] += c.bytes / c.calls;
      return bytes;
    };
    std::map<std::string, int64_t> first;
    for (int64_t length : {3, 5, 7}) {
      const Outcome o = run(comm, {.sequence = 2}, 1, false, 1, segment(length, {"model.layer_pattern=GDS"}));
      const int64_t segments = (13 + length - 1) / length;
      EXPECT_EQ(calls(o, Sites::mixer_forward, Verb::all_gather), 4 * 8 * segments);
      EXPECT_EQ(calls(o, Sites::mixer_backward, Verb::all_gather), 4 * 8 * segments);
      for (const CollectiveCount& c : o.counts)
        EXPECT_FALSE(c.axis == "sequence" && c.site == Sites::recompute && c.verb == Verb::all_gather) << length;
      if (first.empty()) first = gathered(o);
      EXPECT_EQ(gathered(o), first);
    }
  });
}

// Buffers of whole rows grow with the row; in segments they do not (linear layers alone).
TEST(Segments, MemoryDependsOnTheSegmentAndNotOnTheRow) {
  const auto peak = [](int64_t row, const std::vector<std::string>& more) {
    int64_t bytes = 0;
    world(1, [&](Comm& comm) {
      std::vector<std::string> overrides{"model.layer_pattern=GDS", fmt::format("data.sequence_length={}", row),
                                         fmt::format("train.tokens_per_step={}", 8 * row)};
      overrides.insert(overrides.end(), more.begin(), more.end());
      bytes = run(comm, {}, 1, false, 1, overrides).peak_bytes;
    });
    return bytes;
  };
  const std::vector<std::string> in_segments{"train.segment_length=64"};
  const int64_t grown_whole = peak(2048, {}) - peak(512, {});
  const int64_t grown = peak(2048, in_segments) - peak(512, in_segments);
  EXPECT_LT(grown * 10, grown_whole);
}

}  // namespace
}  // namespace og

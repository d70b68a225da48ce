#include "parallel/mesh/mesh.h"

#include <gtest/gtest.h>

#include "parallel/sequence/context.h"
#include "tests/world.h"

namespace og {
namespace {

std::vector<int64_t> members(Comm& group, Comm& world) { return group.gather(world.rank(), Sites::startup); }

using Ranks = std::vector<int64_t>;

TEST(mesh, tensor_is_fastest_then_sequence_then_data) {
  world(8, [](Comm& comm) {
    Mesh mesh(comm, {.data = 2, .sequence = 2, .tensor = 2, .expert = 4});
    const int r = comm.rank();
    EXPECT_EQ(members(mesh.tensor(), comm), (Ranks{r & ~1, r | 1}));
    EXPECT_EQ(members(mesh.sequence(), comm), (Ranks{r & ~2, r | 2}));
    EXPECT_EQ(members(mesh.data(), comm), (Ranks{r & ~4, r | 4}));
    EXPECT_EQ(members(mesh.tokens(), comm), (Ranks{r & 1, 2 + (r & 1), 4 + (r & 1), 6 + (r & 1)}));
    EXPECT_EQ(members(mesh.tokens_and_tensor(), comm), (Ranks{0, 1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(members(mesh.sequence_and_tensor(), comm), (Ranks{r & 4, (r & 4) + 1, (r & 4) + 2, (r & 4) + 3}));
    EXPECT_EQ(members(mesh.expert(), comm), (Ranks{r & 4, (r & 4) + 1, (r & 4) + 2, (r & 4) + 3}));
    EXPECT_EQ(members(mesh.expert_data(), comm), (Ranks{r & 3, (r & 3) + 4}));
    EXPECT_EQ(members(mesh.pipeline(), comm), (Ranks{r}));
    EXPECT_EQ(mesh.expert_data().axis(), "data");
    EXPECT_EQ(mesh.tokens().axis(), "data+sequence");
  });
}

TEST(mesh, ranks_are_ordered_by_world_rank_in_every_group) {
  world(6, [](Comm& comm) {
    Mesh mesh(comm, {.data = 3, .sequence = 2, .expert = 3});
    EXPECT_EQ(mesh.data().rank(), comm.rank() / 2);
    EXPECT_EQ(mesh.sequence().rank(), comm.rank() % 2);
    EXPECT_EQ(mesh.expert().rank(), comm.rank() % 3);
    EXPECT_EQ(mesh.expert_data().rank(), comm.rank() / 3);
    EXPECT_EQ(mesh.expert_data().axis(), "data+sequence");  // ranks 0 and 3 differ in both
  });
}

// A plan knows the groups by their sizes alone.
TEST(mesh, groups_are_as_large_as_the_degrees_say) {
  for (const Degrees& d : {Degrees{.data = 2, .sequence = 2, .tensor = 2, .expert = 4},
                           Degrees{.data = 3, .tensor = 2, .expert = 3}, Degrees{.sequence = 2, .pipeline = 2}})
    world(d.world(), [&](Comm& comm) {
      Mesh mesh(comm, d);
      EXPECT_EQ(mesh.tokens().size(), d.tokens());
      EXPECT_EQ(mesh.tokens_and_tensor().size(), d.tokens_and_tensor());
      EXPECT_EQ(mesh.expert_data().size(), d.expert_data());
    });
}

TEST(mesh, pipeline_stages_do_not_share_groups) {
  world(4, [](Comm& comm) {
    Mesh mesh(comm, {.sequence = 2, .expert = 2, .pipeline = 2});
    const int r = comm.rank();
    EXPECT_EQ(members(mesh.expert(), comm), (Ranks{r & 2, r | 1}));
    EXPECT_EQ(members(mesh.tokens_and_tensor(), comm), (Ranks{r & 2, r | 1}));
    EXPECT_EQ(members(mesh.pipeline(), comm), (Ranks{r & 1, (r & 1) + 2}));
    EXPECT_EQ(members(mesh.expert_data(), comm), (Ranks{r}));
  });
}

TEST(mesh, one_rank_needs_no_special_case) {
  world(1, [](Comm& comm) {
    Mesh mesh(comm, {});
    for (Comm* group : {&mesh.data(), &mesh.sequence(), &mesh.tensor(), &mesh.expert(), &mesh.expert_data()})
      EXPECT_EQ(group->size(), 1);
  });
}

TEST(mesh, wrong_degrees_are_named_with_the_nearest_that_work) {
  EXPECT_FALSE(check_degrees({.data = 2, .sequence = 2, .expert = 4}, 4));
  EXPECT_FALSE(check_degrees({.sequence = 3, .tensor = 2, .expert = 6}, 6));
  EXPECT_EQ(check_degrees({.data = 1, .sequence = 2}, 4)->text,
            "parallel: data 1 x sequence 2 x tensor 1 x pipeline 1 = 2 ranks, but 4 are running; the nearest that "
            "works on 4 ranks: data 2, sequence 2, tensor 1, expert 1, pipeline 1");
  EXPECT_EQ(check_degrees({.sequence = 4, .expert = 3}, 4)->text,
            "parallel.expert: 3 does not divide data x sequence x tensor = 4; the nearest that works on 4 ranks: data "
            "1, sequence 4, tensor 1, expert 4, pipeline 1");
  EXPECT_EQ(check_degrees({.tensor = 0}, 1)->text,
            "parallel.tensor: expected a degree >= 1, found 0; the nearest that works on 1 rank: data 1, sequence 1, "
            "tensor 1, expert 1, pipeline 1");
}

TEST(mesh, degrees_that_do_not_fit_the_world_are_a_usage_error) {
  world(1, [](Comm& comm) {
    try {
      Mesh mesh(comm, {.sequence = 2});
      FAIL() << "a mesh of 2 ranks on a world of 1";
    } catch (const Error& e) {
      EXPECT_EQ(e.status(), Status::usage);
    }
  });
}

TEST(mesh, describes_the_groups_of_a_rank) {
  world(4, [](Comm& comm) {
    Mesh mesh(comm, {.data = 2, .sequence = 2, .expert = 2});
    if (comm.rank() != 3) return;
    EXPECT_EQ(mesh.describe(),
              "2 data x 2 sequence, experts over 2; rank 3: data 1 of group {1, 3}, sequence 1 of group {2, 3}, "
              "experts shared with {2, 3}, the same experts on {1, 3}");
  });
}

TEST(sequence_context, shards_differ_by_at_most_one_and_may_be_empty) {
  EXPECT_EQ(split_evenly(7, 3), (Ranks{0, 3, 5, 7}));
  EXPECT_EQ(split_evenly(2, 4), (Ranks{0, 1, 2, 2, 2}));
  EXPECT_EQ(split_evenly(0, 2), (Ranks{0, 0, 0}));
}

TEST(sequence_context, document_starts_become_relative_to_the_shard) {
  world(3, [](Comm& comm) {
    Context cx;
    const Tensor starts = cx.empty({2, 7}, DType::i32);
    const std::vector<int32_t> values{0, 0, 2, 2, 2, 5, 5, 0, 0, 0, 0, 0, 0, 6};
    std::copy(values.begin(), values.end(), starts.data<int32_t>());
    const SeqContext seq = make_seq_context(*cx.pool, comm, 2, 7, starts);
    const std::vector<std::vector<double>> expected{{0, 0, 2, 0, 0, 0}, {-1, -1, -3, -3}, {0, 0, -5, 1}};
    const auto& mine = expected[static_cast<size_t>(comm.rank())];
    ASSERT_EQ(seq.start_BT.count(), std::ssize(mine));
    for (int64_t i = 0; i < seq.start_BT.count(); ++i) EXPECT_EQ(seq.start_BT.at(i), mine[static_cast<size_t>(i)]);
    EXPECT_FALSE(seq.single_document);
  });
}

TEST(sequence_context, one_document_a_row) {
  world(4, [](Comm& comm) {
    Context cx;
    const SeqContext absent = make_seq_context(*cx.pool, comm, 1, 3, {});
    const SeqContext zeros = make_seq_context(*cx.pool, comm, 1, 3, cx.zeros({1, 3}, DType::i32));
    for (const SeqContext& seq : {absent, zeros}) {
      EXPECT_TRUE(seq.single_document);
      EXPECT_EQ(seq.local_length(), comm.rank() < 3 ? 1 : 0);
      for (int64_t i = 0; i < seq.start_BT.count(); ++i)
        EXPECT_EQ(seq.start_BT.at(i), -static_cast<double>(seq.begin()));
    }
  });
}

}  // namespace
}  // namespace og

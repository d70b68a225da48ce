#include "parallel/comm/agreement.h"

#include <gtest/gtest.h>

#include "tests/world.h"

namespace og {
namespace {

TEST(agreement, ranks_that_agree_exchange_one_number) {
  for (int n : {1, 2, 5})
    world(n, [](Comm& comm) {
      check_agreement(comm, "the config", "a: 1\nb: 2\n");
      ASSERT_EQ(comm.counters().rows().size(), 1U);
      EXPECT_EQ(comm.counters().rows()[0].site, Sites::startup);
      EXPECT_EQ(comm.counters().rows()[0].calls, 1);
    });
}

TEST(agreement, ranks_that_differ_are_named_on_every_rank_with_the_first_line) {
  world(5, [](Comm& comm) {
    std::string text = "a: 1\nb: 2\nc: 3\n";
    if (comm.rank() == 1 || comm.rank() == 4) text = "a: 1\nb: 5\nc: 4\n";
    if (comm.rank() == 3) text = "a: 1\nb: 2\nc: 3\nd: 4\n";
    try {
      check_agreement(comm, "the config", text);
      ADD_FAILURE() << "rank " << comm.rank() << " agreed";
    } catch (const Error& e) {
      EXPECT_EQ(e.status(), Status::rank);
      EXPECT_EQ(std::string(e.what()),
                "the config is not the same on all ranks; ranks 1, 4: line 2: `b: 2` on rank 0, `b: 5` there; ranks 3: "
                "line 4: `` on rank 0, `d: 4` there. Start the same program with the same files and arguments on every "
                "rank");
    }
  });
}

TEST(agreement, a_missing_last_line_end_is_a_difference) {
  EXPECT_THROW(run_thread_world(2, [](Comm& comm) { check_agreement(comm, "x", comm.rank() ? "a" : "a\n"); }), Error);
}

}  // namespace
}  // namespace og

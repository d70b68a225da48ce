#include "parallel/comm/together.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/world.h"

namespace og {
namespace {

constexpr Site kSite = Sites::startup;

// On three ranks, the second of which fails.
void expect_error(void (*run)(Comm&, Site, const std::function<void()>&), Status status, const std::string& text) {
  run_thread_world(3,
                   [&](Comm& comm) {
                     try {
                       run(comm, kSite, [&] {
                         if (comm.rank() == 1) fail(Status::data, "no file");
                       });
                       ADD_FAILURE() << "rank " << comm.rank() << " went on";
                     } catch (const Error& e) {
                       EXPECT_EQ(e.status(), status);
                       EXPECT_EQ(std::string(e.what()), text);
                     }
                   },
                   {.timeout_seconds = 5});
}

TEST(together, what_one_rank_throws_all_throw) {
  expect_error(together, Status::data, "rank 1: no file");
  expect_error(together_at_length, Status::data, "rank 1: no file");
}

TEST(together, work_may_take_longer_than_a_collective_may_wait) {
  int done = 0;
  run_thread_world(3,
                   [&](Comm& comm) {
                     together_at_length(comm, kSite, [&] {
                       if (comm.rank() != 1) return;
                       std::this_thread::sleep_for(std::chrono::milliseconds(2500));
                       done = 1;
                     });
                     EXPECT_EQ(done, 1) << "rank " << comm.rank();
                   },
                   {.timeout_seconds = 2});
  EXPECT_EQ(done, 1);
}

}  // namespace
}  // namespace og

#include "parallel/comm/comm.h"

#include <atomic>

#include "framework/core/log.h"
#include "tests/parallel/comm_verbs.h"
#include "tests/world.h"

namespace og {
namespace {

class OnRanks : public testing::TestWithParam<int> {};

TEST_P(OnRanks, every_verb_gives_what_it_promises) { world(GetParam(), check_every_verb); }

TEST_P(OnRanks, every_verb_gives_what_it_promises_when_collectives_are_slow) {
  world(GetParam(),
        [](Comm& comm) {
          Context cx;
          check_send_recv(comm, cx);
          check_many_at_once(comm, cx);
          check_split(comm);
        },
        {.delay_seconds = 1e-3});
}

INSTANTIATE_TEST_SUITE_P(comm, OnRanks, testing::Values(1, 2, 3, 4, 5, 8));

TEST(comm, counts_belong_to_the_phase_that_started_the_call) {
  world(2, [](Comm& comm) {
    const auto sequence = comm.split(0, comm.rank(), "sequence");
    comm.counters().reset();
    const auto calls = [&](const char* phase) {
      int64_t n = 0;
      for (const CollectiveCount& row : comm.counters().rows()) n += row.phase == phase ? row.calls : 0;
      return n;
    };
    comm.barrier(Sites::test);
    {
      const CommPhase step(comm.counters(), "step");
      sequence->barrier(Sites::test);  // a group made by split() counts where its parent does
      {
        const CommPhase inner(comm.counters(), "evaluation");
        comm.sum(1, Sites::test);
      }
      sequence->sum(1, Sites::test);
    }
    Context cx;
    Pending late = [&] {
      const CommPhase step(comm.counters(), "step");
      return comm.all_reduce(cx.zeros({1}, DType::f32), Reduce::sum, Sites::test);
    }();
    late.wait();
    EXPECT_EQ(calls("startup"), 1);
    EXPECT_EQ(calls("step"), 3);
    EXPECT_EQ(calls("evaluation"), 1);
    EXPECT_EQ(comm.counters().rows().size(), 5U);
    EXPECT_GT(comm.counters().seconds("step"), 0);
    EXPECT_NEAR(
        comm.counters().seconds(),
        comm.counters().seconds("startup") + comm.counters().seconds("step") + comm.counters().seconds("evaluation"),
        1e-12);
  });
}

// The message of the error that a world ends with.
std::string failure(int num_ranks, const std::function<void(Comm&)>& body, ThreadWorldOptions options = {}) {
  try {
    run_thread_world(num_ranks, body, options);
  } catch (const Error& e) {
    EXPECT_EQ(e.status(), Status::rank) << e.what();
    return e.what();
  }
  return "nothing failed";
}

void expect_contains(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
}

TEST(comm, a_rank_that_throws_wakes_the_others_and_its_exception_is_the_one_seen) {
  std::atomic<int> woken = 0;
  try {
    run_thread_world(4, [&](Comm& comm) {
      const auto pair = comm.split(comm.rank() / 2, 0, "data");
      if (comm.rank() == 2) fail(Status::data, "shard 7 is missing");
      try {
        pair->barrier(Sites::test);
        comm.barrier(Sites::test);
      } catch (const Error& e) {
        EXPECT_EQ(e.status(), Status::rank);
        expect_contains(e.what(), {"rank 2 of 4 failed: shard 7 is missing"});
        woken += 1;
        throw;
      }
    });
    FAIL() << "the world ended well";
  } catch (const Error& e) {
    EXPECT_EQ(e.status(), Status::data);
    EXPECT_STREQ(e.what(), "shard 7 is missing");
  }
  EXPECT_EQ(woken, 3);
}

TEST(comm, an_exception_while_a_verb_is_under_way_does_not_wait_for_it) {
  EXPECT_THROW(run_thread_world(2,
                                [](Comm& comm) {
                                  Context cx;
                                  const Pending pending =
                                      comm.all_reduce(cx.zeros({3}, DType::f32), Reduce::sum, Sites::test);
                                  if (comm.rank() == 0) throw std::runtime_error("first");
                                  comm.barrier(Sites::test);
                                }),
               std::runtime_error);
}

TEST(comm, a_time_out_names_verb_axis_site_and_the_missing_ranks) {
  const std::string text = failure(4,
                                   [](Comm& comm) {
                                     const auto axis = comm.split(0, comm.rank(), "sequence");
                                     if (comm.rank() % 2 == 0) axis->barrier(Sites::mixer_forward);
                                   },
                                   {.timeout_seconds = 0.05});
  expect_contains(
      text, {"barrier on axis sequence at mixer.forward", "of 4 waited 0.05 s; arrived: 0, 2; not arrived: 1, 3"});
}

TEST(comm, a_message_that_does_not_come_names_its_sender) {
  const std::string text = failure(3,
                                   [](Comm& comm) {
                                     Context cx;
                                     if (comm.rank() == 2)
                                       comm.send_recv({}, {{1, cx.zeros({1}, DType::f32)}}, Sites::halo_forward).wait();
                                   },
                                   {.timeout_seconds = 0.05});
  expect_contains(text, {"send_recv", "at halo.forward: rank 2 of 3 waited 0.05 s; not arrived: 1"});
}

TEST(comm, calls_that_differ_name_both) {
  expect_contains(failure(2,
                          [](Comm& comm) {
                            Context cx;
                            const Tensor x = cx.zeros({4}, DType::f32);
                            if (comm.rank() == 0) comm.all_reduce(x, Reduce::sum, Sites::loss).wait();
                            if (comm.rank() == 1) comm.broadcast(x, 0, Sites::metrics).wait();
                          }),
                  {"all_reduce at loss", "broadcast at metrics", "rank 0", "rank 1"});
  expect_contains(failure(2,
                          [](Comm& comm) {
                            Context cx;
                            comm.all_reduce(cx.zeros({4 + comm.rank()}, DType::f32), Reduce::sum, Sites::loss).wait();
                          }),
                  {"all_reduce at loss with counts [0, 0, 4]", "all_reduce at loss with counts [0, 0, 5]"});
  expect_contains(failure(2,
                          [](Comm& comm) {
                            Context cx;
                            const int64_t n = comm.rank() == 0 ? 2 : 3;  // rank 1 sends 3, rank 0 expects 2
                            const std::vector<int64_t> rows{n, n};
                            comm.all_to_all(cx.empty({2 * n}, DType::f32), rows, cx.zeros({2 * n}, DType::f32), rows,
                                            Sites::moe_dispatch)
                                .wait();
                          }),
                  {"all_to_all", "moe.dispatch", "expects"});
  expect_contains(failure(2,
                          [](Comm& comm) {
                            Context cx;
                            if (comm.rank() == 0)
                              comm.send_recv({{1, cx.zeros({2}, DType::f32)}}, {}, Sites::moe_dispatch).wait();
                            if (comm.rank() == 1)
                              comm.send_recv({}, {{0, cx.zeros({3}, DType::f32)}}, Sites::moe_combine).wait();
                          }),
                  {"receives 12 bytes at moe.combine", "sends 8 bytes at moe.dispatch"});
}

TEST(comm, wrong_arguments_are_refused_before_anything_is_sent) {
  world(1, [](Comm& comm) {
    Context cx;
    const Tensor x = cx.zeros({4}, DType::f32);
    const std::vector<int64_t> three{3}, four{4}, two_ranks{2, 2};
    EXPECT_THROW(comm.all_gather(x, x, three, Sites::test).wait(), Error);
    EXPECT_THROW(comm.all_gather(x, x, two_ranks, Sites::test).wait(), Error);
    EXPECT_THROW(comm.all_gather(x, cx.zeros({4}, DType::f64), four, Sites::test).wait(), Error);
    EXPECT_THROW(comm.reduce_scatter(cx.zeros({4}, DType::i32), cx.zeros({4}, DType::i32), four, Sites::test).wait(),
                 Error);
    EXPECT_THROW(comm.broadcast(x, 1, Sites::test).wait(), Error);
    EXPECT_THROW(comm.broadcast(Tensor(), 0, Sites::test).wait(), Error);
    Pending pending = comm.all_gather(x, x, four, Sites::test);
    pending.wait();
    EXPECT_THROW(pending.wait(), Error);
  });
}

TEST(comm, work_between_start_and_wait_hides_the_collective) {
  const double delay = 0.03;
  world(2,
        [&](Comm& comm) {
          Context cx;
          cx.profile.keep_events(true);
          comm.barrier(Sites::test);
          comm.profile = &cx.profile;
          const Tensor x = cx.zeros({1000}, DType::f32);
          Pending pending = comm.all_reduce(x, Reduce::sum, Sites::mixer_forward);
          const double local = now_seconds();
          while (now_seconds() < local + 1.5 * delay) {
          }
          const double local_end = now_seconds();
          pending.wait();
          const auto& events = cx.profile.events();
          ASSERT_EQ(events.size(), 2U);
          EXPECT_EQ(events[0].name, "mixer.forward start");
          EXPECT_EQ(events[1].name, "mixer.forward wait");
          EXPECT_LE(events[0].end, local);
          EXPECT_LE(local_end, events[1].begin);
          const CollectiveCount* row = count_of(comm, Verb::all_reduce, Sites::mixer_forward);
          ASSERT_NE(row, nullptr);
          EXPECT_GE(row->seconds, delay);
          EXPECT_LT(row->exposed_seconds, delay);
          EXPECT_GT(cx.profile.seconds(Part::communication), 0);
          EXPECT_LT(cx.profile.seconds(Part::communication), delay);
          // Not hidden: at once.
          comm.all_reduce(x, Reduce::sum, Sites::mixer_backward).wait();
          EXPECT_GE(count_of(comm, Verb::all_reduce, Sites::mixer_backward)->exposed_seconds, 0.9 * delay);
        },
        {.delay_seconds = delay});
}

TEST(comm, a_pending_that_is_dropped_is_waited_for) {
  world(2, [](Comm& comm) {
    Context cx;
    const Tensor x = Tensor::full(*cx.pool, {5}, DType::f32, 1);
    { const Pending dropped = comm.all_reduce(x, Reduce::sum, Sites::test); }
    EXPECT_EQ(x.at(4), 2);
    Pending replaced = comm.all_reduce(x, Reduce::sum, Sites::test);
    replaced = Pending();
    EXPECT_EQ(x.at(4), 4);
  });
}

TEST(comm, log_lines_of_a_thread_are_those_of_its_rank) {
  testing::internal::CaptureStderr();
  world(3, [](Comm& comm) {
    log::info("by one, {} here", comm.rank());
    log::warning("by one, {} here", comm.rank());
    for (int r = 0; r < 3; ++r) {
      if (r == comm.rank()) log::error("by each, {} here", r);
      comm.barrier(Sites::test);
    }
  });
  log::info("outside");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "by one, 0 here\nwarning: by one, 0 here\nerror: by each, 0 here\n[rank 1] error: by each, 1 here\n"
            "[rank 2] error: by each, 2 here\noutside\n");
}

TEST(comm, a_nan_on_any_rank_is_seen_by_max_and_min_on_all) {
  world(3, [](Comm& comm) {
    for (int where = 0; where < 3; ++where)
      EXPECT_TRUE(std::isnan(comm.max(comm.rank() == where ? std::nan("") : comm.rank(), Sites::test))) << where;
  });
}

}  // namespace
}  // namespace og

// One rank of a real MPI world, started by mpirun (tests/parallel/mpirun.sh): mpi_ranks
// verbs|overlap|wrong|throw|die|hang| absent|stop|differ|refuse|launcher. Not a *_test.cpp: alone it would only see a
// world of one.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "parallel/comm/launched.h"
#include "tests/parallel/comm_verbs.h"

namespace og {
namespace {

void compute_for(double seconds) {
  const double end = now_seconds() + seconds;
  volatile double x = 1;
  while (now_seconds() < end)
    for (int i = 0; i < 1000; ++i) x = x * 1.0000001;
}

// An all_gather of 1 MB started before local work must be done when the work is.
void check_overlap(Comm& comm) {
  Context cx;
  const std::vector<int64_t> rows(static_cast<size_t>(comm.size()), 1 << 18);
  const Tensor in = cx.zeros({1 << 18}, DType::f32), out = cx.empty({comm.size() << 18}, DType::f32);
  comm.all_gather(out, in, rows, Sites::startup).wait();
  double best = 1, flight = 0;
  for (int i = 0; i < 10; ++i) {
    comm.barrier(Sites::startup);
    comm.counters().reset();
    Pending pending = comm.all_gather(out, in, rows, Sites::test);
    compute_for(0.02);
    pending.wait();
    const CollectiveCount* row = count_of(comm, Verb::all_gather, Sites::test);
    if (row->exposed_seconds < best) {
      best = row->exposed_seconds;
      flight = row->seconds;
    }
  }
  std::printf("rank %d: 1 MB beside 20 ms of work: %.0f us in flight, %.0f us exposed\n", comm.rank(), flight * 1e6,
              best * 1e6);
  EXPECT_LT(best, 1e-3);
  EXPECT_LT(flight, 0.02);
}

int run(Comm& comm, const std::string& what) {
  if (what == "verbs") check_every_verb(comm);
  if (what == "overlap") check_overlap(comm);
  if (what == "throw" && comm.rank() == 1) fail(Status::data, "bad data on rank {}", comm.rank());
  if (what == "die" && comm.rank() == 1) std::raise(SIGKILL);
  if (what == "hang" && comm.rank() == 1) compute_for(20);
  if (what == "stop") {
    const std::unique_ptr<Comm> pair = comm.split(comm.rank() / 2, comm.rank(), "pair");
    if (comm.rank() == 3) std::raise(SIGSTOP);
    pair->barrier(Sites::test);
  }
  if (what == "wrong") {
    EXPECT_EQ(comm.rank(), 0);
  }
  if (what == "refuse") fail(Status::usage, "refused on every rank");
  if (what == "differ") {
    Context cx;
    const Tensor x = cx.zeros({comm.size()}, DType::f32);
    const std::vector<int64_t> rows(static_cast<size_t>(comm.size()), 1);
    if (comm.rank() == 0) comm.all_gather(x, x.slice(0, 1), rows, Sites::loss).wait();
    comm.all_reduce(x, Reduce::sum, Sites::metrics).wait();
  }
  comm.barrier(Sites::test);
  return testing::Test::HasFailure() ? 1 : 0;
}

}  // namespace
}  // namespace og

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string what = argc > 1 ? argv[1] : "verbs";
  if (what == "launcher") setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
  if (what == "absent" && og::launched_rank() == 1) std::raise(SIGSTOP);
  std::unique_ptr<og::Comm> comm;
  try {
    comm = og::make_mpi_comm(what == "hang" || what == "differ" || what == "absent" ? 1 : what == "stop" ? 2 : 30);
    return og::run(*comm, what);
  } catch (const og::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    if (comm) comm->abort(e.what());
    return static_cast<int>(e.status());
  }
}

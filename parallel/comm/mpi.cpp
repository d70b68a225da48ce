// Ranks over MPI. Every verb is made of point-to-point messages: so a rank that waits knows whom it waits for, sums are
// in rank order whatever the library (the same bits on all ranks, in all runs, and as on thread ranks), and stages of a
// verb can follow each other in the background. Messages carry the number of the call and a hash of verb and site in
// their tag: ranks that disagree on the call do not take each other's data but run into the time-out that names both.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "parallel/comm/comm.h"
#include "parallel/comm/launched.h"
#include "parallel/comm/mpi_progress.h"
#include "parallel/comm/reduction.h"

namespace og {

namespace {

// Up to this size an all_reduce sends everything to everybody: one message time less.
constexpr int64_t kSmallReduction = 16 << 10;

int call_tag(Verb verb, Site site, int64_t number) {
  uint32_t hash = 2166136261U + static_cast<uint32_t>(verb);
  for (char c : std::string_view(site.name)) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619U;
  hash = (hash ^ hash >> 8 ^ hash >> 16 ^ hash >> 24) & 0xFF;
  return static_cast<int>(static_cast<uint32_t>(number & 0x3FF) << 8 | hash);
}
constexpr int kPointToPoint = 1 << 18;
constexpr int kLargestTag = (1 << 19) - 1;

class MpiOperation final : public Operation {
 public:
  MpiOperation(std::shared_ptr<MpiProgress> progress, std::shared_ptr<MpiTask> task)
      : progress_(std::move(progress)), task_(std::move(task)) {}
  double finish() override { return progress_->finish(*task_); }
  bool done() override {
    const std::lock_guard lock(progress_->mutex());
    return task_->done();
  }

 private:
  std::shared_ptr<MpiProgress> progress_;
  std::shared_ptr<MpiTask> task_;
};

std::vector<int64_t> offsets_of(std::span<const int64_t> rows, int64_t row_bytes) {
  std::vector<int64_t> begin{0};
  for (int64_t r : rows) begin.push_back(begin.back() + r * row_bytes);
  return begin;
}

int64_t row_bytes(const Tensor& t) { return t.shape().count_from(1) * size_of(t.dtype()); }

// What the stages of a verb need to know of the group. Stages may outlive the Comm, so they hold this by value.
struct Ranks {
  int rank, size;
  size_t index() const { return static_cast<size_t>(rank); }

  // Beginning at the right neighbour, so that not all ranks send to the same one first.
  template <class F>
  void for_each_peer(F&& f) const {
    for (int i = 1; i < size; ++i) f((rank + i) % size);
  }

  // Sends every peer its piece of x and takes theirs of this rank's piece into all[peer].
  void swap_pieces(MpiTask& task, const Tensor& all, const Tensor& x, const std::vector<int64_t>& begin) const {
    const int64_t own = begin[index() + 1] - begin[index()];
    for_each_peer([&](int peer) {
      const auto p = static_cast<size_t>(peer);
      task.receive(peer, all, peer * own, own);
      task.send(peer, x, begin[p], begin[p + 1] - begin[p]);
    });
  }

  // to[begin..] = all[0] op all[1] op ...
  void reduce_in_order(const Tensor& to, int64_t begin, int64_t n, const Tensor& all, Reduce op) const {
    const int64_t element = size_of(to.dtype());
    copy_bytes(to, begin * element, all, 0, n * element);
    for (int r = 1; r < size; ++r) reduce_into(to, begin, all, r * n, n, op);
  }
};

class MpiComm final : public Comm {
 public:
  MpiComm(std::shared_ptr<MpiProgress> progress, std::shared_ptr<MpiGroup> group, int rank, std::string axis,
          std::shared_ptr<CommCounters> counters, std::string host)
      : Comm(rank, static_cast<int>(group->world_ranks.size()), std::move(axis), std::move(counters)),
        progress_(std::move(progress)),
        group_(std::move(group)) {
    host_ = std::move(host);
  }

  std::unique_ptr<Comm> split(int color, int key, const std::string& axis) override {
    const std::vector<int64_t> colors = gather(color, Sites::startup);
    const std::vector<int64_t> keys = gather(key, Sites::startup);
    std::vector<int> members;
    for (int r = 0; r < size(); ++r)
      if (colors[static_cast<size_t>(r)] == color) members.push_back(r);
    std::stable_sort(members.begin(), members.end(),
                     [&](int a, int b) { return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)]; });
    auto group = std::make_shared<MpiGroup>();
    for (int r : members) group->world_ranks.push_back(group_->world_ranks[static_cast<size_t>(r)]);
    const auto place = std::find(members.begin(), members.end(), rank()) - members.begin();
    progress_->split(group_->comm, color, key, group, axis);
    auto child =
        std::make_unique<MpiComm>(progress_, std::move(group), static_cast<int>(place), axis, counters_, host_);
    child->profile = profile;
    return child;
  }

  void abort(const std::string& reason) override { progress_->abort(reason); }

 protected:
  using Stage = MpiTask::Stage;

  std::unique_ptr<Operation> start_all_reduce(const Tensor& x, Reduce op, Site site) override {
    const Ranks me = ranks();
    const int64_t n = x.count(), size_in_bytes = size_of(x.dtype());
    if (x.bytes() <= kSmallReduction) {
      const Tensor all = Tensor::empty(*pool_, {size(), n}, x.dtype());
      return start(site, {[=](MpiTask& task) {
                            me.for_each_peer([&](int peer) {
                              task.receive(peer, all, peer * x.bytes(), x.bytes());
                              task.send(peer, x, 0, x.bytes());
                            });
                          },
                          [=](MpiTask&) {
                            copy_bytes(all, me.rank * x.bytes(), x, 0, x.bytes());
                            me.reduce_in_order(x, 0, n, all, op);
                          }});
    }
    // Each rank sums one piece and sends it to the others.
    std::vector<int64_t> pieces;
    for (int r = 0; r < size(); ++r) pieces.push_back(n / size() + (r < n % size()));
    const std::vector<int64_t> begin = offsets_of(pieces, size_in_bytes);
    const int64_t mine = begin[me.index()], own = pieces[me.index()];
    const Tensor all = Tensor::empty(*pool_, {size(), own}, x.dtype());
    return start(site, {[=](MpiTask& task) { me.swap_pieces(task, all, x, begin); },
                        [=](MpiTask& task) {
                          copy_bytes(all, me.rank * own * size_in_bytes, x, mine, own * size_in_bytes);
                          me.reduce_in_order(x, mine / size_in_bytes, own, all, op);
                          me.for_each_peer([&](int peer) {
                            const auto p = static_cast<size_t>(peer);
                            task.receive(peer, x, begin[p], begin[p + 1] - begin[p]);
                            task.send(peer, x, mine, own * size_in_bytes);
                          });
                        }});
  }

  std::unique_ptr<Operation> start_all_gather(const Tensor& out, const Tensor& in, std::span<const int64_t> rows,
                                              Site site) override {
    const Ranks me = ranks();
    const std::vector<int64_t> begin = offsets_of(rows, row_bytes(out));
    return start(site, {[=](MpiTask& task) {
                   me.for_each_peer([&](int peer) {
                     const auto p = static_cast<size_t>(peer);
                     task.receive(peer, out, begin[p], begin[p + 1] - begin[p]);
                     task.send(peer, in, 0, in.bytes());
                   });
                   copy_bytes(out, begin[me.index()], in, 0, in.bytes());
                 }});
  }

  std::unique_ptr<Operation> start_reduce_scatter(const Tensor& out, const Tensor& in, std::span<const int64_t> rows,
                                                  Site site) override {
    const Ranks me = ranks();
    const std::vector<int64_t> begin = offsets_of(rows, row_bytes(in));
    const Tensor all = Tensor::empty(*pool_, {size(), out.count()}, out.dtype());
    return start(site, {[=](MpiTask& task) { me.swap_pieces(task, all, in, begin); },
                        [=](MpiTask&) {
                          copy_bytes(all, me.rank * out.bytes(), in, begin[me.index()], out.bytes());
                          me.reduce_in_order(out, 0, out.count(), all, Reduce::sum);
                        }});
  }

  std::unique_ptr<Operation> start_all_to_all(const Tensor& out, std::span<const int64_t> recv_rows, const Tensor& in,
                                              std::span<const int64_t> send_rows, Site site) override {
    const Ranks me = ranks();
    const std::vector<int64_t> to = offsets_of(send_rows, row_bytes(in)), from = offsets_of(recv_rows, row_bytes(out));
    return start(site, {[=](MpiTask& task) {
                   me.for_each_peer([&](int peer) {
                     const auto p = static_cast<size_t>(peer);
                     task.receive(peer, out, from[p], from[p + 1] - from[p]);
                     task.send(peer, in, to[p], to[p + 1] - to[p]);
                   });
                   copy_bytes(out, from[me.index()], in, to[me.index()], to[me.index() + 1] - to[me.index()]);
                 }});
  }

  // A binomial tree: what the parent sends is passed on to the children.
  std::unique_ptr<Operation> start_broadcast(const Tensor& x, int root, Site site) override {
    const Ranks me = ranks();
    const int place = (rank() - root + size()) % size();
    int reach = 1;  // children are place + reach / 2, place + reach / 4, .., place + 1
    while (reach < size() && (place & reach) == 0) reach *= 2;
    const auto absolute = [root, n = size()](int p) { return (p + root) % n; };
    return start(site, {[=](MpiTask& task) {
                          if (place != 0) task.receive(absolute(place - reach), x, 0, x.bytes());
                        },
                        [=](MpiTask& task) {
                          for (int step = reach / 2; step > 0; step /= 2)
                            if (place + step < me.size) task.send(absolute(place + step), x, 0, x.bytes());
                        }});
  }

  // Messages of one pair of ranks and one site keep their order in MPI; they carry no number, for ranks with nothing to
  // send or receive do not call.
  std::unique_ptr<Operation> start_send_recv(std::vector<Message> sends, std::vector<Message> receives,
                                             Site site) override {
    const int tag = kPointToPoint | call_tag(Verb::send_recv, site, 0);
    return start(site, -1, tag, {[sends = std::move(sends), receives = std::move(receives)](MpiTask& task) {
                   for (const Message& m : receives) task.receive(m.peer, m.tensor, 0, m.tensor.bytes());
                   for (const Message& m : sends) task.send(m.peer, m.tensor, 0, m.tensor.bytes());
                 }});
  }

 private:
  Ranks ranks() const { return {rank(), size()}; }

  std::unique_ptr<Operation> start(Site site, std::vector<Stage> stages) {
    const int64_t number = group_->started++;
    return start(site, number, call_tag(verb_, site, number), std::move(stages));
  }

  std::unique_ptr<Operation> start(Site site, int64_t number, int tag, std::vector<Stage> stages) {
    auto task = std::make_shared<MpiTask>(group_, fmt::format("{} on axis {} at {}", name_of(verb_), axis(), site.name),
                                          group_->world_ranks[ranks().index()], number, tag, std::move(stages));
    progress_->start(task);
    return std::make_unique<MpiOperation>(progress_, std::move(task));
  }

  std::shared_ptr<MpiProgress> progress_;
  std::shared_ptr<MpiGroup> group_;
};

}  // namespace

std::unique_ptr<Comm> make_mpi_comm(double timeout_seconds) {
#ifdef OPEN_MPI
  // Open MPI learns of srun's other ranks through PMIx alone. Without, its initialisation ends the process, or each
  // rank comes up as a world of its own.
  if (launched_by_srun() && !std::getenv("PMIX_RANK"))
    fail(Status::rank,
         "srun started {} ranks, but its --mpi does not fit this MPI, which would see 1: give srun --mpi=pmix (srun "
         "--mpi=list shows what there is), or start the ranks with mpirun inside the job",
         launched_ranks());
#endif
  auto progress = std::make_shared<MpiProgress>(timeout_seconds);
  int rank = 0, size = 0, found = 0;
  int* largest_tag = nullptr;
  auto group = std::make_shared<MpiGroup>();
  group->comm = MPI_COMM_WORLD;
  {
    const std::lock_guard lock(progress->mutex());
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &largest_tag, &found);
  }
  if (found && *largest_tag < kLargestTag) fail(Status::rank, "this MPI has tags up to {} only", *largest_tag);
  const int launched = launched_ranks();
  if (launched > 0 && launched != size)
    fail(Status::rank,
         "the launcher started {} ranks, but MPI sees {}: the program was built with another MPI than the launcher's; "
         "use the mpirun that belongs to it (onegather doctor names it)",
         launched, size);
  for (int r = 0; r < size; ++r) group->world_ranks.push_back(r);
  progress->add(group, kWorldAxis);
  char host[MPI_MAX_PROCESSOR_NAME + 1] = {};
  gethostname(host, MPI_MAX_PROCESSOR_NAME);
  return std::make_unique<MpiComm>(std::move(progress), std::move(group), rank, kWorldAxis,
                                   std::make_shared<CommCounters>(), host);
}

}  // namespace og

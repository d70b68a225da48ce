// Ranks as threads of one process. No thread but the ranks' own: to start a verb is to put a copy of one's input where
// the others can read it; to finish it is to wait until all have, and to read, in rank order, so that sums have the
// same bits on all ranks and in all runs. One mutex guards the world's bookkeeping; data is copied outside of it.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>

#include "framework/core/log.h"
#include "parallel/comm/comm.h"
#include "parallel/comm/reduction.h"

namespace og {

namespace {

// Thrown on ranks that stop because another failed.
struct Aborted : Error {
  explicit Aborted(const std::string& reason) : Error(Status::rank, reason) {}
};

// What the ranks of one collective must have in common.
struct Call {
  Verb verb;
  std::string site;
  std::vector<int64_t> counts;
  bool operator==(const Call&) const = default;
  std::string str() const {
    std::string s = fmt::format("{} at {} with counts [", name_of(verb), site);
    for (size_t i = 0; i < counts.size(); ++i) s += fmt::format("{}{}", i ? ", " : "", counts[i]);
    return s + "]";
  }
};

struct Contribution {
  bool arrived = false;
  Call call;
  Tensor data;
  std::vector<int64_t> send_rows;  // all_to_all
};

// One collective of a group: the contributions of all ranks, and when the last one came.
struct Meeting {
  std::vector<Contribution> from;
  int num_arrived = 0;
  int num_left = 0;
  double ready = 0;  // last arrival + delay
};

struct Letter {
  std::string site;
  Tensor data;
  double ready;
};

struct World;

struct Group {
  Group(std::shared_ptr<World> w, int n, std::string a)
      : world(std::move(w)), size(n), axis(std::move(a)), next_sent(cells()), next_received(cells()) {}
  size_t cells() const { return static_cast<size_t>(size) * static_cast<size_t>(size); }
  size_t cell(int from, int to) const {
    return static_cast<size_t>(from) * static_cast<size_t>(size) + static_cast<size_t>(to);
  }

  std::shared_ptr<World> world;
  int size;
  std::string axis;
  std::condition_variable changed;
  std::map<int64_t, Meeting> meetings;                   // by the number of the collective in this group
  std::map<std::pair<size_t, int64_t>, Letter> letters;  // by (cell, number of the message in that direction)
  std::vector<int64_t> next_sent, next_received;         // by cell
};

struct World {
  ThreadWorldOptions options;
  std::mutex mutex;
  bool aborted = false;
  std::string reason;
  std::vector<std::weak_ptr<Group>> groups;
  // Groups that a split has begun: (parent, number of the split, color) -> group, and the members still to come.
  std::map<std::tuple<const Group*, int64_t, int>, std::pair<std::shared_ptr<Group>, int>> splits;

  void abort(const std::string& why) {
    std::vector<std::shared_ptr<Group>> awake;
    {
      const std::lock_guard lock(mutex);
      if (!aborted) reason = why;
      aborted = true;
      for (const auto& weak : groups)
        if (auto group = weak.lock()) awake.push_back(std::move(group));
    }
    for (const auto& group : awake) group->changed.notify_all();
  }
};

using Lock = std::unique_lock<std::mutex>;

std::chrono::steady_clock::time_point time_point(double seconds) {
  return std::chrono::steady_clock::time_point(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds)));
}

// Waits until done() and the time ready() has come. late(): what to say when it does not.
template <class Done, class Ready, class Late>
void wait_for(Group& group, Lock& lock, Done&& done, Ready&& ready, Late&& late) {
  World& world = *group.world;
  const double limit = now_seconds() + world.options.timeout_seconds;
  while (true) {
    const bool complete = done();
    const double now = now_seconds();
    if (complete && now >= ready()) return;
    if (world.aborted) throw Aborted(world.reason);
    if (!complete && now >= limit) {
      const std::string message = late();
      throw Error(Status::rank, message);
    }
    group.changed.wait_until(lock, time_point(complete ? ready() : limit));
  }
}

// Reads everybody's contribution once all are there.
using Read = std::function<void(const std::vector<Contribution>&)>;

class CollectiveOperation final : public Operation {
 public:
  CollectiveOperation(std::shared_ptr<Group> group, int64_t number, int rank, Read read)
      : group_(std::move(group)), number_(number), rank_(rank), read_(std::move(read)) {}

  ~CollectiveOperation() override {
    const std::lock_guard lock(group_->world->mutex);
    const auto at = group_->meetings.find(number_);
    if (++at->second.num_left == group_->size) group_->meetings.erase(at);
  }

  double finish() override {
    Meeting* meeting = nullptr;
    {
      Lock lock(group_->world->mutex);
      meeting = &group_->meetings.at(number_);  // stays in place while this operation lives
      wait_for(
          *group_, lock, [&] { return meeting->num_arrived == group_->size; }, [&] { return meeting->ready; },
          [&] { return late(*meeting); });
    }
    const Call& mine = meeting->from[static_cast<size_t>(rank_)].call;
    for (size_t r = 0; r < meeting->from.size(); ++r) {
      const Call& theirs = meeting->from[r].call;
      if (!(theirs == mine))
        fail(Status::rank, "axis {}: rank {} calls {}, but rank {} calls {}", group_->axis, rank_, mine.str(), r,
             theirs.str());
    }
    read_(meeting->from);
    return meeting->ready;
  }

  bool done() override {
    const Lock lock(group_->world->mutex);
    const Meeting& meeting = group_->meetings.at(number_);
    return meeting.num_arrived == group_->size && now_seconds() >= meeting.ready;
  }

 private:
  std::string late(const Meeting& meeting) const {
    std::vector<int> arrived, missing;
    for (int r = 0; r < group_->size; ++r)
      (meeting.from[static_cast<size_t>(r)].arrived ? arrived : missing).push_back(r);
    const Call& mine = meeting.from[static_cast<size_t>(rank_)].call;
    return fmt::format("{} on axis {} at {}: rank {} of {} waited {} s; arrived: {}; not arrived: {}",
                       name_of(mine.verb), group_->axis, mine.site, rank_, group_->size,
                       group_->world->options.timeout_seconds, list_of(arrived), list_of(missing));
  }

  std::shared_ptr<Group> group_;
  int64_t number_;
  int rank_;
  Read read_;
};

struct Expected {
  size_t cell;
  int64_t number;
  int peer;
  Tensor out;
};

class ReceiveOperation final : public Operation {
 public:
  ReceiveOperation(std::shared_ptr<Group> group, int rank, std::string site, std::vector<Expected> expected)
      : group_(std::move(group)), rank_(rank), site_(std::move(site)), expected_(std::move(expected)) {}

  double finish() override {
    double done = 0;
    for (const Expected& e : expected_) {
      Letter letter;
      {
        Lock lock(group_->world->mutex);
        auto found = group_->letters.end();
        wait_for(
            *group_, lock,
            [&] {
              found = group_->letters.find({e.cell, e.number});
              return found != group_->letters.end();
            },
            [&] { return found->second.ready; },
            [&] {
              return fmt::format("send_recv on axis {} at {}: rank {} of {} waited {} s; not arrived: {}", group_->axis,
                                 site_, rank_, group_->size, group_->world->options.timeout_seconds, e.peer);
            });
        letter = std::move(found->second);
        group_->letters.erase(found);
      }
      if (letter.site != site_ || letter.data.bytes() != e.out.bytes())
        fail(Status::rank, "axis {}: rank {} receives {} bytes at {}, but rank {} sends {} bytes at {}", group_->axis,
             rank_, e.out.bytes(), site_, e.peer, letter.data.bytes(), letter.site);
      copy_bytes(e.out, 0, letter.data, 0, e.out.bytes());
      done = std::max(done, letter.ready);
    }
    return done;
  }

  bool done() override {
    const Lock lock(group_->world->mutex);
    return std::all_of(expected_.begin(), expected_.end(), [&](const Expected& e) {
      const auto found = group_->letters.find({e.cell, e.number});
      return found != group_->letters.end() && now_seconds() >= found->second.ready;
    });
  }

 private:
  std::shared_ptr<Group> group_;
  int rank_;
  std::string site_;
  std::vector<Expected> expected_;
};

class ThreadComm final : public Comm {
 public:
  ThreadComm(std::shared_ptr<Group> group, int rank, std::shared_ptr<CommCounters> counters, std::string host)
      : Comm(rank, group->size, group->axis, std::move(counters)), group_(std::move(group)) {
    host_ = std::move(host);
  }

  std::unique_ptr<Comm> split(int color, int key, const std::string& axis) override {
    const Site site = Sites::startup;
    const std::vector<int64_t> colors = gather(color, site);
    const std::vector<int64_t> keys = gather(key, site);
    std::vector<int> members;
    for (int r = 0; r < size(); ++r)
      if (colors[static_cast<size_t>(r)] == color) members.push_back(r);
    std::stable_sort(members.begin(), members.end(),
                     [&](int a, int b) { return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)]; });
    const auto place = std::find(members.begin(), members.end(), rank()) - members.begin();
    std::shared_ptr<Group> group;
    {
      World& world = *group_->world;
      const std::lock_guard lock(world.mutex);
      const auto name = std::make_tuple(static_cast<const Group*>(group_.get()), next_, color);
      auto& [made, to_come] = world.splits[name];
      if (!made) {
        made = std::make_shared<Group>(group_->world, static_cast<int>(members.size()), axis);
        to_come = made->size;
        world.groups.push_back(made);
      }
      group = made;
      if (--to_come == 0) world.splits.erase(name);
    }
    auto child = std::make_unique<ThreadComm>(std::move(group), static_cast<int>(place), counters_, host_);
    child->profile = profile;
    return child;
  }

  void abort(const std::string& reason) override { group_->world->abort(reason); }

 protected:
  std::unique_ptr<Operation> start_all_reduce(const Tensor& x, Reduce op, Site site) override {
    return meet({verb_, site.name, {static_cast<int>(op), static_cast<int>(x.dtype()), x.count()}}, x, {},
                [x, op](const std::vector<Contribution>& from) {
                  copy_bytes(x, 0, from[0].data, 0, x.bytes());
                  for (size_t r = 1; r < from.size(); ++r) reduce_into(x, 0, from[r].data, 0, x.count(), op);
                });
  }

  std::unique_ptr<Operation> start_all_gather(const Tensor& out, const Tensor& in, std::span<const int64_t> rows,
                                              Site site) override {
    Call call{verb_, site.name, {static_cast<int>(in.dtype()), in.shape().count_from(1)}};
    call.counts.insert(call.counts.end(), rows.begin(), rows.end());
    return meet(std::move(call), in, {}, [out](const std::vector<Contribution>& from) {
      int64_t at = 0;
      for (const Contribution& c : from) {
        copy_bytes(out, at, c.data, 0, c.data.bytes());
        at += c.data.bytes();
      }
    });
  }

  std::unique_ptr<Operation> start_reduce_scatter(const Tensor& out, const Tensor& in, std::span<const int64_t> rows,
                                                  Site site) override {
    const int64_t width = in.shape().count_from(1);
    Call call{verb_, site.name, {static_cast<int>(in.dtype()), width}};
    call.counts.insert(call.counts.end(), rows.begin(), rows.end());
    int64_t begin = 0;
    for (int r = 0; r < rank(); ++r) begin += rows[static_cast<size_t>(r)] * width;
    return meet(std::move(call), in, {}, [out, begin](const std::vector<Contribution>& from) {
      copy_bytes(out, 0, from[0].data, begin * size_of(out.dtype()), out.bytes());
      for (size_t r = 1; r < from.size(); ++r) reduce_into(out, 0, from[r].data, begin, out.count(), Reduce::sum);
    });
  }

  std::unique_ptr<Operation> start_all_to_all(const Tensor& out, std::span<const int64_t> recv_rows, const Tensor& in,
                                              std::span<const int64_t> send_rows, Site site) override {
    const int64_t width = in.shape().count_from(1);
    return meet({verb_, site.name, {static_cast<int>(in.dtype()), width}}, in, {send_rows.begin(), send_rows.end()},
                [this, out, width, site,
                 expected = std::vector<int64_t>(recv_rows.begin(), recv_rows.end())](const auto& from) {
                  const int64_t bytes = width * size_of(out.dtype());
                  int64_t at = 0;
                  for (size_t r = 0; r < from.size(); ++r) {
                    const std::vector<int64_t>& sent = from[r].send_rows;
                    const auto me = static_cast<size_t>(rank());
                    if (sent[me] != expected[r])
                      fail(Status::rank,
                           "all_to_all on axis {} at {}: rank {} expects {} rows of rank {}, which sends {}", axis(),
                           site.name, me, expected[r], r, sent[me]);
                    int64_t begin = 0;
                    for (size_t p = 0; p < me; ++p) begin += sent[p];
                    copy_bytes(out, at * bytes, from[r].data, begin * bytes, sent[me] * bytes);
                    at += sent[me];
                  }
                });
  }

  std::unique_ptr<Operation> start_broadcast(const Tensor& x, int root, Site site) override {
    return meet({verb_, site.name, {root, x.bytes()}}, rank() == root ? x : Tensor(), {},
                [x, root](const std::vector<Contribution>& from) {
                  copy_bytes(x, 0, from[static_cast<size_t>(root)].data, 0, x.bytes());
                });
  }

  std::unique_ptr<Operation> start_send_recv(std::vector<Message> sends, std::vector<Message> receives,
                                             Site site) override {
    std::vector<Tensor> copies;
    for (const Message& m : sends) copies.push_back(m.tensor.clone(*pool_));
    std::vector<Expected> expected;
    {
      const std::lock_guard lock(group_->world->mutex);
      const double ready = now_seconds() + group_->world->options.delay_seconds;
      for (size_t i = 0; i < sends.size(); ++i) {
        const size_t cell = group_->cell(rank(), sends[i].peer);
        group_->letters[{cell, group_->next_sent[cell]++}] = {site.name, std::move(copies[i]), ready};
      }
      for (const Message& m : receives) {
        const size_t cell = group_->cell(m.peer, rank());
        expected.push_back({cell, group_->next_received[cell]++, m.peer, m.tensor});
      }
    }
    group_->changed.notify_all();
    return std::make_unique<ReceiveOperation>(group_, rank(), site.name, std::move(expected));
  }

 private:
  // Brings this rank's contribution to the group's next collective. data may be absent.
  std::unique_ptr<Operation> meet(Call call, const Tensor& data, std::vector<int64_t> send_rows, Read read) {
    Contribution mine{true, std::move(call), data.defined() ? data.clone(*pool_) : Tensor(), std::move(send_rows)};
    const int64_t number = next_++;
    {
      const std::lock_guard lock(group_->world->mutex);
      Meeting& meeting = group_->meetings[number];
      meeting.from.resize(static_cast<size_t>(size()));
      meeting.from[static_cast<size_t>(rank())] = std::move(mine);
      meeting.num_arrived += 1;
      meeting.ready = now_seconds() + group_->world->options.delay_seconds;
    }
    group_->changed.notify_all();
    return std::make_unique<CollectiveOperation>(group_, number, rank(), std::move(read));
  }

  std::shared_ptr<Group> group_;
  int64_t next_ = 0;  // the number of this rank's next collective in the group
};

}  // namespace

void run_thread_world(int size, const std::function<void(Comm&)>& body, ThreadWorldOptions options) {
  OG_CHECK(size >= 1, "a world of {} ranks", size);
  auto world = std::make_shared<World>();
  world->options = options;
  auto group = std::make_shared<Group>(world, size, kWorldAxis);
  world->groups.push_back(group);
  std::mutex mutex;
  std::exception_ptr first, first_aborted;
  const auto run = [&](int rank) {
    const auto keep = [&](std::exception_ptr& kept) {
      const std::lock_guard lock(mutex);
      if (!kept) kept = std::current_exception();
    };
    log::set_thread_rank(rank);
    try {
      const int host = options.ranks_per_host > 0 ? rank / options.ranks_per_host : 0;
      ThreadComm comm(group, rank, std::make_shared<CommCounters>(), fmt::format("host {}", host));
      body(comm);
    } catch (const Aborted&) {
      keep(first_aborted);
    } catch (const std::exception& e) {
      keep(first);
      world->abort(fmt::format("rank {} of {} failed: {}", rank, size, e.what()));
    } catch (...) {
      keep(first);
      world->abort(fmt::format("rank {} of {} failed", rank, size));
    }
  };
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) threads.emplace_back(run, r);
  for (std::thread& t : threads) t.join();
  if (first) std::rethrow_exception(first);
  if (first_aborted) std::rethrow_exception(first_aborted);
}

}  // namespace og

// Comm: the ranks of one group and what they can do together. Few verbs; every verb starts at once and returns a
// Pending, so that local work can run before wait(). Transports: self, threads (ranks are threads of one process), MPI,
// NCCL. The public verbs count calls, bytes and seconds per (axis, verb, site) and then call the transport. All ranks
// of a call name the same site.
//
// All ranks of a group call the same verbs in the same order. Counts may be zero and may differ between ranks where a
// verb says so; a rank with nothing to give calls all the same. A Comm belongs to one rank; only its thread calls it.
// Errors: a failed rank or a time-out throws Error(Status::rank) naming verb, axis, site and the ranks that are
// missing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "framework/core/context.h"
#include "parallel/comm/sites.h"

namespace og {

enum class Verb : uint8_t { all_gather, all_reduce, reduce_scatter, all_to_all, broadcast, send_recv, barrier };
const char* name_of(Verb verb);

enum class Reduce : uint8_t { sum, max, min };

struct CollectiveCount {
  std::string phase;  // what the program was at when it was called, see CommPhase
  std::string axis;   // "sequence", "data+sequence", ...
  Verb verb = Verb::barrier;
  Site site = Sites::startup;
  int64_t calls = 0;
  int64_t bytes = 0;           // received from other ranks; all_reduce of n bytes on P ranks: 2 n (P - 1) / P
  double seconds = 0;          // from start to completion, summed
  double exposed_seconds = 0;  // the part blocked in wait()
};

// The counts of one rank over all its groups. Groups made by split() share their parent's.
class CommCounters {
 public:
  void add(const CollectiveCount& calls);
  const std::vector<CollectiveCount>& rows() const { return rows_; }
  // Summed over the rows of one phase; empty: over all.
  double seconds(std::string_view phase = {}) const;
  double exposed_seconds(std::string_view phase = {}) const;
  const std::string& phase() const { return phase_; }
  void reset() { rows_.clear(); }

 private:
  friend class CommPhase;
  std::string phase_ = "startup";
  std::vector<CollectiveCount> rows_;
};

// While it lives, collectives that this rank starts are counted under this phase; then again under the one before. The
// same mixer.forward is part of a training step, of an evaluation and of a sample: only the caller knows.
class CommPhase {
 public:
  CommPhase(CommCounters& counters, std::string phase)
      : counters_(counters), before_(std::exchange(counters.phase_, std::move(phase))) {}
  ~CommPhase() { counters_.phase_ = std::move(before_); }
  CommPhase(const CommPhase&) = delete;
  CommPhase& operator=(const CommPhase&) = delete;

 private:
  CommCounters& counters_;
  std::string before_;
};

// What a transport returns: finish() blocks until the outputs are there, and returns the completion time
// (now_seconds()). It holds the tensors it needs. Destroyed unfinished (the rank is dying of an exception) it leaves
// the outputs unwritten and harms nobody. Null: complete at once.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual double finish() = 0;
  virtual bool done() = 0;  // whether finish() would not block
};

class Comm;

// A started verb. wait() once (the destructor waits too, unless an exception is passing through). The tensors given to
// the verb are kept alive and must not be written (inputs) or read (outputs) before wait().
class Pending {
 public:
  Pending();
  Pending(Pending&&) noexcept;
  Pending& operator=(Pending&&) noexcept;
  ~Pending();
  void wait();
  // Whether wait() would return at once. Before wait().
  bool done() const;

 private:
  friend class Comm;
  struct State;
  std::unique_ptr<State> state_;
};

// "0, 2, 3": of ranks, for messages.
std::string list_of(const std::vector<int>& ranks);

struct Message {
  int peer;
  Tensor tensor;
};

class Hosts;

class Comm {
 public:
  virtual ~Comm() = default;
  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& axis() const { return axis_; }
  CommCounters& counters() { return *counters_; }
  // The machine that this rank runs on; equal names, one machine.
  const std::string& host() const { return host_; }
  // The group's ranks by host (hosts.h). Collective the first time.
  Hosts& hosts();
  // Where starts and waits are recorded as events; null: nowhere.
  Profile* profile = nullptr;

  // x is replaced by the sum (max, min) over the ranks, the same bits on all. f32, f64, i32, i64.
  [[nodiscard]] Pending all_reduce(const Tensor& x, Reduce op, Site site);
  // out = the inputs of all ranks one after another along dim 0; rows[r] = dim 0 of rank r's input (may differ, may be
  // 0).
  [[nodiscard]] Pending all_gather(const Tensor& out, const Tensor& in, std::span<const int64_t> rows, Site site);
  // out = rows [sum of rows before r, + rows[r]) of the sum of all ranks' `in`. f32, f64.
  [[nodiscard]] Pending reduce_scatter(const Tensor& out, const Tensor& in, std::span<const int64_t> rows, Site site);
  // `in` holds send_rows[0] rows for rank 0, then those for rank 1, ...; `out` likewise with recv_rows.
  [[nodiscard]] Pending all_to_all(const Tensor& out, std::span<const int64_t> recv_rows, const Tensor& in,
                                   std::span<const int64_t> send_rows, Site site);
  [[nodiscard]] Pending broadcast(const Tensor& x, int root, Site site);
  // Point to point: every message to a peer meets, in order, the peer's message from here. A rank may send to itself.
  // Ranks with neither sends nor receives need not call.
  [[nodiscard]] Pending send_recv(std::vector<Message> sends, std::vector<Message> receives, Site site);
  void barrier(Site site);

  // Blocking, for set-up and bookkeeping; counted like the others.
  double sum(double x, Site site);
  double max(double x, Site site);
  std::vector<int64_t> gather(int64_t x, Site site);  // every rank's x
  std::string broadcast_text(std::string text, int root, Site site);
  std::vector<std::string> gather_text(const std::string& text, Site site);

  // The ranks that pass the same color, ordered by key; axis names the new group in counters and messages.
  virtual std::unique_ptr<Comm> split(int color, int key, const std::string& axis) = 0;
  // Makes every other rank of the world fail soon with this reason. Called when a rank is about to die of an exception.
  // MPI: returns if all ranks call it within about a second (they agree that the run failed, and end with their own
  // status), else the launcher ends them all with status 5.
  virtual void abort(const std::string& reason) = 0;

 protected:
  Comm(int rank, int size, std::string axis, std::shared_ptr<CommCounters> counters)
      : counters_(std::move(counters)), rank_(rank), size_(size), axis_(std::move(axis)) {}
  // The transports' part. Bytes are contiguous; counts and displacements are in elements of dtype.
  virtual std::unique_ptr<Operation> start_all_reduce(const Tensor& x, Reduce op, Site site) = 0;
  virtual std::unique_ptr<Operation> start_all_gather(const Tensor& out, const Tensor& in,
                                                      std::span<const int64_t> rows, Site site) = 0;
  virtual std::unique_ptr<Operation> start_reduce_scatter(const Tensor& out, const Tensor& in,
                                                          std::span<const int64_t> rows, Site site) = 0;
  virtual std::unique_ptr<Operation> start_all_to_all(const Tensor& out, std::span<const int64_t> recv_rows,
                                                      const Tensor& in, std::span<const int64_t> send_rows,
                                                      Site site) = 0;
  virtual std::unique_ptr<Operation> start_broadcast(const Tensor& x, int root, Site site) = 0;
  virtual std::unique_ptr<Operation> start_send_recv(std::vector<Message> sends, std::vector<Message> receives,
                                                     Site site) = 0;
  // The public verb that a start_* call is part of (a barrier is an all_reduce to the transports), for messages.
  Verb verb_ = Verb::barrier;
  std::shared_ptr<CommCounters> counters_;
  std::string host_;                             // set by the transport that makes a world; split() hands it on
  std::shared_ptr<Pool> pool_ = Pool::create();  // staging, and the tensors of the blocking verbs

 private:
  // Times `start`, which calls the transport, and makes the Pending of what it returns.
  template <class Start>
  Pending begin(Verb verb, Site site, int64_t bytes, Start&& start);
  double reduce_one(double x, Reduce op, Site site);
  int rank_;
  int size_;
  std::string axis_;
  std::shared_ptr<Hosts> hosts_;
};

// The axis of a world: all of them.
inline constexpr const char* kWorldAxis = "data+sequence+tensor+pipeline";

// The world of one rank.
std::unique_ptr<Comm> make_self_comm();

// Runs body(comm) on `size` ranks, each a thread of this process, and returns when all have ended. If ranks throw, the
// others are aborted and the first exception (of a rank that was not aborted by another) is rethrown.
struct ThreadWorldOptions {
  double delay_seconds = 0;  // every collective completes this long after the last rank has started it
  double timeout_seconds = 60;
  int ranks_per_host = 0;  // 0: all are on one
};
void run_thread_world(int size, const std::function<void(Comm&)>& body, ThreadWorldOptions options = {});

bool mpi_is_launched();  // started by mpirun or srun, whether this build has MPI or not
// Initialises MPI, at most once; finalised when the last Comm made from this one is gone. Refused (status 5) when MPI
// does not see the ranks that the launcher started, and (status 2) in a build without MPI.
// A program that fails catches the exception, says why, calls abort() and ends with the exception's status.
std::unique_ptr<Comm> make_mpi_comm(double timeout_seconds);

}  // namespace og

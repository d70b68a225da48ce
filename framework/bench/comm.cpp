#include "framework/bench/comm.h"

#include <algorithm>
#include <cmath>

#include "framework/bench/size_range.h"
#include "framework/core/error.h"
#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/measure/host_memory.h"
#include "framework/measure/least_squares.h"

namespace og {

namespace {

constexpr Site kSite = Sites::bench, kSetup = Sites::bench_setup;
constexpr int kBatches = 5;
constexpr double kBatchSeconds = 0.02;  // a batch repeats a call until it takes about this long
constexpr int64_t kMostRepeats = 1000;

// Whole numbers, so that sums of up to 100,000 ranks are exact in f32 in any order.
float number(int64_t rank, int64_t i) { return static_cast<float>((31 * rank + i) % 97); }

// One verb on buffers of n = per x ranks elements.
class Case {
 public:
  Case(Comm& comm, Pool& pool, Verb verb, int64_t size)
      : comm_(comm), verb_(verb), ranks_(comm.size()), rank_(comm.rank()) {
    per_ = (size + 4 * ranks_ - 1) / (4 * ranks_);
    n_ = per_ * ranks_;
    rows_.assign(static_cast<size_t>(ranks_), per_);
    const bool gathers = verb == Verb::all_gather, scatters = verb == Verb::reduce_scatter;
    if (verb == Verb::barrier) return;
    in_ = Tensor::empty(pool, {gathers ? per_ : n_}, DType::f32);
    if (verb != Verb::all_reduce && verb != Verb::broadcast)
      out_ = Tensor::empty(pool, {scatters ? per_ : n_}, DType::f32);
    for (int64_t i = 0; i < in_.count(); ++i) in_.data<float>()[i] = number(rank_, i);
  }

  int64_t size() const { return 4 * n_; }

  // turn: broadcasts come from every rank in turn, so that none runs ahead of the others.
  void call(int64_t turn) {
    if (verb_ == Verb::all_gather) comm_.all_gather(out_, in_, rows_, kSite).wait();
    if (verb_ == Verb::all_reduce) comm_.all_reduce(in_, Reduce::sum, kSite).wait();
    if (verb_ == Verb::reduce_scatter) comm_.reduce_scatter(out_, in_, rows_, kSite).wait();
    if (verb_ == Verb::all_to_all) comm_.all_to_all(out_, rows_, in_, rows_, kSite).wait();
    if (verb_ == Verb::broadcast) comm_.broadcast(in_, static_cast<int>(turn % ranks_), kSite).wait();
    if (verb_ == Verb::send_recv)
      comm_.send_recv({{(rank_ + 1) % ranks_, in_}}, {{(rank_ + ranks_ - 1) % ranks_, out_}}, kSite).wait();
    if (verb_ == Verb::barrier) comm_.barrier(kSite);
  }

  // all_reduce works in place: a sum of sums of sums would overflow f32.
  void clear() {
    if (verb_ == Verb::all_reduce) std::fill_n(in_.data<float>(), in_.count(), 0.0F);
  }

  // Checks the result of the first call, turn 0.
  void check() const {
    const Tensor& result = out_.defined() ? out_ : in_;
    for (int64_t i = 0; result.defined() && i < result.count(); ++i) {
      const float expected = expect(i), found = result.data<const float>()[i];
      OG_CHECK(found == expected,
               "bench comm: {} of {} bytes gives {} at element {} of rank {}, expected {}: no figures", name_of(verb_),
               size(), found, i, rank_, expected);
    }
  }

 private:
  float expect(int64_t i) const {
    if (verb_ == Verb::all_gather) return number(i / per_, i % per_);
    if (verb_ == Verb::all_to_all) return number(i / per_, rank_ * per_ + i % per_);
    if (verb_ == Verb::broadcast) return number(0, i);
    if (verb_ == Verb::send_recv) return number((rank_ + ranks_ - 1) % ranks_, i);
    float sum = 0;
    for (int r = 0; r < ranks_; ++r) sum += number(r, verb_ == Verb::reduce_scatter ? rank_ * per_ + i : i);
    return sum;
  }

  Comm& comm_;
  Verb verb_;
  int ranks_, rank_;
  int64_t per_ = 0, n_ = 0;
  std::vector<int64_t> rows_;
  Tensor in_, out_;
};

int64_t received(Comm& comm, Verb verb) {
  int64_t bytes = 0;
  for (const CollectiveCount& row : comm.counters().rows())
    if (row.verb == verb && row.site == kSite) bytes += row.bytes;
  return bytes;
}

}  // namespace

CommBenchRow bench_verb(Comm& comm, Verb verb, int64_t size) {
  const auto pool = Pool::create();
  Case one(comm, *pool, verb, size);
  one.call(0);
  one.check();
  one.clear();
  int64_t most = 0;
  for (int turn = 0; turn < comm.size(); ++turn) {
    const int64_t before = received(comm, verb);
    one.call(turn);
    most = std::max(most, received(comm, verb) - before);
  }
  CommBenchRow row{.verb = verb, .size = one.size()};
  row.received = static_cast<int64_t>(comm.max(static_cast<double>(most), kSetup));
  const auto batch = [&](int64_t repeats) {
    comm.barrier(kSetup);
    const double begin = now_seconds();
    for (int64_t i = 0; i < repeats; ++i) one.call(i);
    return comm.max((now_seconds() - begin) / static_cast<double>(repeats), kSetup);
  };
  const int64_t repeats =
      std::clamp(static_cast<int64_t>(kBatchSeconds / std::max(1e-9, batch(2))), int64_t{1}, kMostRepeats);
  std::vector<double> seconds;
  for (int i = 0; i < kBatches; ++i) seconds.push_back(batch(repeats));
  std::sort(seconds.begin(), seconds.end());
  row.seconds = seconds[kBatches / 2];
  row.least = seconds.front();
  row.most = seconds.back();
  return row;
}

CommFit fit_line(Verb verb, const std::vector<CommBenchRow>& rows) {
  CommFit fit{.verb = verb};
  std::vector<Observation> observations;
  for (const CommBenchRow& row : rows)
    if (row.verb == verb) observations.push_back({{1, static_cast<double>(row.received)}, row.seconds, row.seconds});
  if (observations.empty()) return fit;
  const std::vector<double> costs = fit_costs(observations);
  fit.alpha = costs[0], fit.beta = costs[1];
  for (const CommBenchRow& row : rows)
    if (row.verb == verb)
      fit.error += std::pow((fit.alpha + fit.beta * static_cast<double>(row.received)) / row.seconds - 1, 2);
  fit.error = std::sqrt(fit.error / static_cast<double>(observations.size()));
  return fit;
}

CommBenchResult bench_comm(Comm& world, const std::vector<int64_t>& sizes) {
  const auto need = 2.0 * static_cast<double>(sizes.back()) * world.size();
  const double free = -world.max(-static_cast<double>(free_memory_bytes()), kSetup);
  if (need > free)
    fail(Status::usage, "bench comm: {} ranks with two buffers of {} need {}, free are {}", world.size(),
         human_bytes(static_cast<double>(sizes.back())), human_bytes(need), human_bytes(free));
  CommBenchResult result;
  result.ranks = world.size();
  for (Verb verb : {Verb::barrier, Verb::all_gather, Verb::all_reduce, Verb::reduce_scatter, Verb::all_to_all,
                    Verb::broadcast, Verb::send_recv}) {
    for (int64_t size : sizes) {
      result.rows.push_back(bench_verb(world, verb, size));
      if (verb != Verb::barrier) continue;
      result.rows.back().size = 0;
      break;
    }
    result.fits.push_back(fit_line(verb, result.rows));
  }
  return result;
}

std::string describe(const CommBenchResult& r) {
  std::string text = fmt::format(
      "{}; size: the larger of a rank's input and output; bandwidth: bytes that a rank\nreceives in a second\n\n"
      "{:<15} {:>10} {:>12} {:>14} {:>14}\n",
      counted(r.ranks, "rank"), "verb", "size", "received", "time", "bandwidth");
  for (const CommBenchRow& row : r.rows)
    text += fmt::format("{:<15} {:>10} {:>12} {:>14} {:>14}\n", name_of(row.verb),
                        human_bytes(static_cast<double>(row.size)), human_bytes(static_cast<double>(row.received)),
                        human_time(row.seconds),
                        row.received == 0 ? "-" : human_bytes(static_cast<double>(row.received) / row.seconds) + "/s");
  text += "\nseconds = alpha + beta x bytes received, fitted; off: how far times are from it\n";
  for (const CommFit& fit : r.fits)
    text += fmt::format("{:<15} alpha {:>9}  beta {:>8.4f} ns/byte, {:>12}  off {:.0f} %\n", name_of(fit.verb),
                        human_time(fit.alpha), 1e9 * fit.beta, fit.beta > 0 ? human_bytes(1 / fit.beta) + "/s" : "-",
                        100 * fit.error);
  return text;
}

Json to_json(const CommBenchResult& r) {
  Json rows = Json::array(), fits = Json::object();
  for (const CommBenchRow& row : r.rows)
    rows.push(
        Json::object({{"verb", name_of(row.verb)},
                      {"size_bytes", row.size},
                      {"received_bytes", row.received},
                      {"seconds", row.seconds},
                      {"seconds_min", row.least},
                      {"seconds_max", row.most},
                      {"bytes_per_second", row.seconds > 0 ? static_cast<double>(row.received) / row.seconds : 0.0}}));
  for (const CommFit& fit : r.fits)
    fits.set(
        name_of(fit.verb),
        Json::object({{"alpha_seconds", fit.alpha}, {"beta_seconds_per_byte", fit.beta}, {"residual", fit.error}}));
  return Json::object({{"ranks", r.ranks}, {"rows", rows}, {"fits", fits}});
}

}  // namespace og
